package dev.protojobs.client;

import java.io.Serializable;

/**
 * A field of a request that is malformed or out of bounds.
 *
 * @param field path of the field, for example {@code spec.kind}
 * @param description what is wrong with it, for people
 */
public record FieldViolation(String field, String description) implements Serializable {}

package dev.protojobs.client;

/** A field is malformed or out of bounds; nothing is stored. */
public class InvalidArgumentException extends ProtoJobsException {
  InvalidArgumentException(String message, Details details) {
    super(message, details);
  }
}

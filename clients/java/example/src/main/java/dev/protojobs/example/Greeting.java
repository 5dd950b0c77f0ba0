package dev.protojobs.example;

/**
 * What producer and worker agree on.
 *
 * @param name whom to greet
 */
public record Greeting(String name) {}

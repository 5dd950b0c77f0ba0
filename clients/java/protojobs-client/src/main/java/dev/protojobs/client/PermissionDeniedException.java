package dev.protojobs.client;

/** The credentials do not cover this. */
public class PermissionDeniedException extends ProtoJobsException {
  PermissionDeniedException(String message, Details details) {
    super(message, details);
  }
}

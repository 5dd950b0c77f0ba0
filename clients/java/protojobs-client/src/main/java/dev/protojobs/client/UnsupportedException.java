package dev.protojobs.client;

/** The server or its driver lacks the feature: DRIVER_UNSUPPORTED. */
public class UnsupportedException extends ProtoJobsException {
  UnsupportedException(String message, Details details) {
    super(message, details);
  }
}

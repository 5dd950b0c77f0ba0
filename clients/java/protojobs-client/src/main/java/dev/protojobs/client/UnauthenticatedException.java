package dev.protojobs.client;

/** No valid credentials. */
public class UnauthenticatedException extends ProtoJobsException {
  UnauthenticatedException(String message, Details details) {
    super(message, details);
  }
}

package dev.protojobs.client;

/** No server answers, or its store does not: safe to repeat. */
public class UnavailableException extends ProtoJobsException {
  UnavailableException(String message, Details details) {
    super(message, details);
  }

  @Override
  public boolean isRetryable() {
    return true;
  }
}

package dev.protojobs.client;

/** The deadline passed; the outcome is unknown, and repeating the call is safe. */
public class DeadlineExceededException extends ProtoJobsException {
  DeadlineExceededException(String message, Details details) {
    super(message, details);
  }

  @Override
  public boolean isRetryable() {
    return true;
  }
}

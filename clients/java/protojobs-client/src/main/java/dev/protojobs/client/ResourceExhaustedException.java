package dev.protojobs.client;

/** Too much at once: QUEUE_FULL, OVERLOADED, QUOTA_EXCEEDED. */
public class ResourceExhaustedException extends ProtoJobsException {
  ResourceExhaustedException(String message, Details details) {
    super(message, details);
  }

  @Override
  public boolean isRetryable() {
    return retryDelay().isPresent();
  }
}

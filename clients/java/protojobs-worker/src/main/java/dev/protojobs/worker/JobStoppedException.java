package dev.protojobs.worker;

/** Ends a handler that is asked to stop; let it pass through. */
public final class JobStoppedException extends RuntimeException {
  private final StopReason reason;

  JobStoppedException(StopReason reason) {
    super("the job is to stop: " + reason);
    this.reason = reason;
  }

  /** {@return why} */
  public StopReason reason() {
    return reason;
  }
}

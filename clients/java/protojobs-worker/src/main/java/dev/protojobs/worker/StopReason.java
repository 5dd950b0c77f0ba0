package dev.protojobs.worker;

/** Why a handler is asked to stop. */
public enum StopReason {
  /** Somebody cancelled the job. */
  CANCELLED,
  /** The run timeout has passed. */
  TIMEOUT,
  /** The lease is gone, or may be: another worker may run the job by now. */
  LEASE_LOST,
  /** The worker leaves and the grace is over. */
  SHUTDOWN
}

package dev.protojobs.worker;

/** Why a worker has ended, and the exit code that its process should have. */
public enum ExitReason {
  /** A signal or {@link Worker#stop}: everything was finished or given back. */
  STOPPED(0),
  /** An operator drained it. */
  DRAINED(0),
  /** Nothing waited any more ({@link Worker.Builder#untilEmpty}). */
  EMPTY(0),
  /** {@link Worker.Builder#maxJobs} have run. */
  MAX_JOBS(0),
  /** {@link Worker.Builder#maxLifetime} has passed. */
  MAX_LIFETIME(0),
  /** The process has grown past {@link Worker.Builder#maxMemory}. */
  MAX_MEMORY(0),
  /** Too many handlers do not stop: start the process again. */
  STUCK(75),
  /** A second signal, or {@link Worker#stopNow}: running handlers were given back unfinished. */
  KILLED(130),
  /** The server refuses this configuration or these credentials; the log says why. */
  REFUSED(78);

  private final int code;

  ExitReason(int code) {
    this.code = code;
  }

  /** {@return the exit code} */
  public int code() {
    return code;
  }
}

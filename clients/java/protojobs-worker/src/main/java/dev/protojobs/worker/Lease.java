package dev.protojobs.worker;

import dev.protojobs.v1.LeasedJob;

/** One attempt of one job, held by this session. Belongs to the session's thread. */
final class Lease {
  /**
   * Where a lease stands in this process.
   *
   * <pre>
   * WAITING --begin--> RUNNING --end--> ENDED --settled--> gone
   *    `-------release / drop-------------'
   * WAITING, RUNNING --lost, superseded--> GONE (its outcome is dropped when its handler ends)
   * </pre>
   */
  enum State {
    WAITING,
    RUNNING,
    ENDED,
    GONE
  }

  final LeasedJob job;
  final long streamNo;
  State state = State.WAITING;
  Outcome outcome;
  boolean begun;
  long begunAt;
  Attempt run;
  int tries;
  int refusals;

  Lease(LeasedJob job, long streamNo) {
    this.job = job;
    this.streamNo = streamNo;
  }

  String jobId() {
    return job.getJobId();
  }

  int attempt() {
    return job.getAttempt();
  }

  @Override
  public String toString() {
    return "Lease[" + jobId() + ", attempt " + attempt() + ", " + state + "]";
  }
}

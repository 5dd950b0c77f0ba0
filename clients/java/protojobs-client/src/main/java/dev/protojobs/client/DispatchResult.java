package dev.protojobs.client;

import dev.protojobs.v1.JobState;

/** What became of one job of many. */
public sealed interface DispatchResult {
  /** {@return id of the job} */
  String jobId();

  /**
   * Returns what the dispatch did.
   *
   * @throws ProtoJobsException if the job was refused
   */
  Dispatched orThrow();

  /**
   * The job is stored.
   *
   * @param dispatched what the dispatch did
   */
  record Stored(Dispatched dispatched) implements DispatchResult {
    @Override
    public String jobId() {
      return dispatched.jobId();
    }

    @Override
    public Dispatched orThrow() {
      return dispatched;
    }
  }

  /**
   * The job was refused, or nobody knows.
   *
   * @param jobId id of the job
   * @param error why
   */
  record Refused(String jobId, ProtoJobsException error) implements DispatchResult {
    @Override
    public Dispatched orThrow() {
      throw error;
    }
  }

  /** Reads an answer. */
  static DispatchResult of(dev.protojobs.v1.DispatchResult result, String sentId) {
    String jobId = result.getJobId().isEmpty() ? sentId : result.getJobId();
    return result.hasError()
        ? new Refused(jobId, Statuses.fromStatus(result.getError()))
        : new Stored(new Dispatched(jobId, result.getOutcome(), JobState.JOB_STATE_UNSPECIFIED));
  }
}

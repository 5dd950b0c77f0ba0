package dev.protojobs.client;

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
}

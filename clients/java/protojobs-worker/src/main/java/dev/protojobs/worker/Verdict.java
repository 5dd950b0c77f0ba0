package dev.protojobs.worker;

import dev.protojobs.client.JobRequest;
import java.time.Duration;
import java.util.List;

/** A handler's own decision about its job: return one of these. */
public sealed interface Verdict {
  /**
   * Fails this attempt and runs the job again after this wait instead of the policy's backoff.
   *
   * @param after 0 s to 365 days
   * @param reason message of the stored error
   */
  record RetryAfter(Duration after, String reason) implements Verdict {}

  /**
   * Runs the job again later; this attempt counts neither as a failure nor as a crash.
   *
   * @param delay 0 s to 365 days
   */
  record Snooze(Duration delay) implements Verdict {}

  /**
   * Completes the job with a result, and stores more jobs in the same transaction: all of it or
   * nothing.
   *
   * @param result as a handler returns it
   * @param dispatch at most 1000 jobs; one without an id gets one of this attempt, so it is stored
   *     once
   */
  record Complete(Object result, List<JobRequest> dispatch) implements Verdict {
    /** Keeps its own list. */
    public Complete {
      dispatch = List.copyOf(dispatch);
    }
  }

  /**
   * Ends the job as CANCELLED.
   *
   * @param reason for the worker's log
   */
  record Cancel(String reason) implements Verdict {}

  /**
   * Ends the job as FAILED at once, whatever retries are left.
   *
   * @param reason message of the stored error
   */
  record Discard(String reason) implements Verdict {}
}

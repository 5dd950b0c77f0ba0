package dev.protojobs.worker;

import dev.protojobs.v1.JobError;
import dev.protojobs.v1.JobState;
import dev.protojobs.v1.SettleCode;

/**
 * Hears what a worker does. Override what you need; every method returns at once, for most are
 * called by the thread that keeps leases alive. An exception is logged and changes nothing else.
 */
public interface WorkerListener {
  /**
   * A stream stands.
   *
   * @param session public mark of the session, the same as long as that lasts
   * @param resumed the session had a stream before
   */
  default void connected(String session, boolean resumed) {}

  /**
   * A handler is about to begin, on the calling thread.
   *
   * @param context its job
   */
  default void started(JobContext context) {}

  /**
   * A handler has ended.
   *
   * @param context its job
   * @param ending how
   */
  default void ended(JobContext context, Ending ending) {}

  /**
   * The server has answered an outcome.
   *
   * @param jobId id of the job
   * @param attempt its attempt
   * @param code OK, ALREADY, or why it was refused; a refused one may be sent again
   * @param next state that the job has got
   */
  default void settled(String jobId, int attempt, SettleCode code, JobState next) {}

  /**
   * A failed attempt was stored.
   *
   * @param context its job
   * @param error what was stored
   * @param isFinal the job is FAILED; else it runs again
   */
  default void failed(JobContext context, JobError error, boolean isFinal) {}

  /** The worker takes no more jobs and finishes what runs. */
  default void draining() {}

  /**
   * Everything is settled.
   *
   * @param reason why the worker has ended
   * @param processed handlers that have ended
   */
  default void stopped(ExitReason reason, long processed) {}
}

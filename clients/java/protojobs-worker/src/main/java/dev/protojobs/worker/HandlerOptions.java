package dev.protojobs.worker;

import dev.protojobs.v1.JobError;
import java.time.Duration;
import java.util.function.BiConsumer;
import java.util.function.Predicate;

/**
 * What may be said about a handler when it is registered. Each method returns a changed copy.
 *
 * @param timeout may shorten the job's run timeout; null for the job's own
 * @param shouldRetry tells which failures are worth a retry
 * @param failed hears of attempts with which a job has failed for good
 */
public record HandlerOptions(
    Duration timeout, Predicate<Throwable> shouldRetry, BiConsumer<JobContext, JobError> failed) {
  /** {@return options that say nothing: every failure is retried while retries last} */
  public static HandlerOptions standard() {
    return new HandlerOptions(null, error -> true, (context, error) -> {});
  }

  /**
   * Bounds runs; the job's run timeout holds too.
   *
   * @param timeout more than 0 s
   */
  public HandlerOptions withTimeout(Duration timeout) {
    return new HandlerOptions(timeout, shouldRetry, failed);
  }

  /**
   * Decides which failures are worth a retry. It can stop retries, never add any.
   *
   * @param shouldRetry gets what the handler has thrown
   */
  public HandlerOptions retryingIf(Predicate<Throwable> shouldRetry) {
    return new HandlerOptions(timeout, shouldRetry, failed);
  }

  /**
   * Hears of attempts with which a job has failed for good, once that is stored. Runs on a thread
   * of handlers.
   *
   * @param failed gets the job and the stored error; an exception of it is logged
   */
  public HandlerOptions onFailed(BiConsumer<JobContext, JobError> failed) {
    return new HandlerOptions(timeout, shouldRetry, failed);
  }
}

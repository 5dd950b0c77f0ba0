package dev.protojobs.worker;

/**
 * Does the work of one kind. Called by many threads at once.
 *
 * @param <T> what payloads are decoded into
 */
@FunctionalInterface
public interface JobHandler<T> {
  /**
   * Runs one attempt of one job.
   *
   * <p>The thread is interrupted when the job is to stop: let {@link InterruptedException} pass
   * through. A job may run again after it was done (at-least-once), so make handlers idempotent;
   * the job id is a good key.
   *
   * @param context the job, and ways to talk back while it runs
   * @param data its payload
   * @return null for no result; a {@link Verdict}; bytes ({@code byte[]}, {@code ByteString}) as
   *     they are; anything else as JSON
   * @throws Exception a failure, which is retried while retries last; {@link NonRetryableException}
   *     ends the job
   */
  Object handle(JobContext context, T data) throws Exception;
}

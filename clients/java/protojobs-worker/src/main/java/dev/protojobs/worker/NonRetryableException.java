package dev.protojobs.worker;

/** Fails a job for good when its handler throws it: no retry can help. */
public class NonRetryableException extends RuntimeException {
  /**
   * Says what is wrong.
   *
   * @param message stored with the job, at most 4 KiB; no secrets
   */
  public NonRetryableException(String message) {
    super(message);
  }

  /**
   * Says what is wrong, and because of what.
   *
   * @param message stored with the job, at most 4 KiB; no secrets
   * @param cause appears in the stored stack
   */
  public NonRetryableException(String message, Throwable cause) {
    super(message, cause);
  }
}

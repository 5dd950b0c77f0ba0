package dev.protojobs.worker;

/**
 * Fails an attempt with an error type that programs in other languages know, instead of the name of
 * a class.
 */
public class JobFailureException extends RuntimeException {
  private final String type;

  /**
   * Says what is wrong.
   *
   * @param type stored as the error's type, at most 256 bytes
   * @param message stored with the job, at most 4 KiB; no secrets
   */
  public JobFailureException(String type, String message) {
    super(message);
    this.type = type;
  }

  /** {@return what is stored as the error's type} */
  public String type() {
    return type;
  }
}

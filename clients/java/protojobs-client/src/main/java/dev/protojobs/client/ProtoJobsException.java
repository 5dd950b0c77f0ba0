package dev.protojobs.client;

import io.grpc.Status;
import java.io.Serializable;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Anything that goes wrong in the client. {@link #reason()} is stable; the message is for people.
 *
 * <p>Subclasses follow the gRPC code. The reasons are those of {@code errors.proto}, for example
 * {@code JOB_NOT_FOUND}.
 */
public class ProtoJobsException extends RuntimeException {
  private final Details details;

  /**
   * Describes an error that arose in this process.
   *
   * @param message what happened, for people
   */
  public ProtoJobsException(String message) {
    this(message, Details.of(Status.Code.UNKNOWN));
  }

  ProtoJobsException(String message, Details details) {
    super(message);
    this.details = details;
  }

  /**
   * Returns what a call has thrown as an error of this client.
   *
   * @param error what gRPC or this client has thrown
   */
  public static ProtoJobsException from(Throwable error) {
    return Statuses.translate(error);
  }

  /** {@return the gRPC code} */
  public Status.Code code() {
    return details.code();
  }

  /**
   * {@return the stable reason, such as DUPLICATE_JOB; empty where no server of Proto Jobs spoke}
   */
  public String reason() {
    return details.reason();
  }

  /** {@return what belongs to the reason, for example job_id of DUPLICATE_JOB} */
  public Map<String, String> metadata() {
    return details.metadata();
  }

  /** {@return the fields that are wrong, by path} */
  public List<FieldViolation> violations() {
    return details.violations();
  }

  /** {@return how long to wait before another try, where the server said so} */
  public Optional<Duration> retryDelay() {
    return Optional.ofNullable(details.retryDelay());
  }

  /**
   * Tells whether the same call with the same ids may succeed later, and does no harm if it was
   * heard before.
   */
  public boolean isRetryable() {
    return false;
  }

  /** What a server says of an error besides its message. */
  record Details(
      Status.Code code,
      String reason,
      Map<String, String> metadata,
      List<FieldViolation> violations,
      Duration retryDelay)
      implements Serializable {
    static Details of(Status.Code code) {
      return new Details(code, "", Map.of(), List.of(), null);
    }

    static Details of(Status.Code code, String reason) {
      return new Details(code, reason, Map.of(), List.of(), null);
    }
  }
}

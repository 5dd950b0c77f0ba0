package dev.protojobs.client;

import io.grpc.Status;

/**
 * Says that a codec cannot read a payload, result or checkpoint. Neither message nor reason holds
 * any of its bytes.
 *
 * <p>Reasons: NO_CODEC, UNKNOWN_KEY, NOT_AUTHENTIC, NOT_ENCRYPTED, CORRUPT, TOO_LARGE.
 */
public final class UndecodableException extends ProtoJobsException {
  /**
   * Describes why bytes cannot be read.
   *
   * @param reason one of the reasons above
   * @param message the same for people
   */
  public UndecodableException(String reason, String message) {
    super(reason + ": " + message, Details.of(Status.Code.UNKNOWN, reason));
  }
}

package dev.protojobs.client;

import io.grpc.Status;

/** Says that a job is not final yet although the wait for it is over. */
public final class WaitTimeoutException extends ProtoJobsException {
  WaitTimeoutException(String message) {
    super(message, Details.of(Status.Code.DEADLINE_EXCEEDED));
  }
}

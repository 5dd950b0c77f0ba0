package dev.protojobs.client;

/** The state forbids it: JOB_FINAL, JOB_RUNNING, PAYLOAD_TOO_LARGE, QUEUE_FULL, CONFLICT, ... */
public class FailedPreconditionException extends ProtoJobsException {
  FailedPreconditionException(String message, Details details) {
    super(message, details);
  }
}

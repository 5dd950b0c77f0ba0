package dev.protojobs.client;

/**
 * What the request names does not exist: JOB_NOT_FOUND, QUEUE_NOT_FOUND, SCHEDULE_NOT_FOUND, ...
 */
public class NotFoundException extends ProtoJobsException {
  NotFoundException(String message, Details details) {
    super(message, details);
  }
}

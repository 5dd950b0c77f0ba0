package dev.protojobs.client;

/** The id or unique key is taken: JOB_ID_REUSED, DUPLICATE_JOB. */
public class AlreadyExistsException extends ProtoJobsException {
  AlreadyExistsException(String message, Details details) {
    super(message, details);
  }

  /** {@return the job that has the unique key; empty for other reasons} */
  public String jobId() {
    return metadata().getOrDefault("job_id", "");
  }
}

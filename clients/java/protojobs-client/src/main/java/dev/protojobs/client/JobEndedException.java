package dev.protojobs.client;

import dev.protojobs.v1.Job;
import dev.protojobs.v1.JobState;
import io.grpc.Status;

/** Says that a job whose result was asked for has failed, was cancelled or has expired. */
public final class JobEndedException extends ProtoJobsException {
  private final Job job;

  JobEndedException(Job job) {
    super(text(job), Details.of(Status.Code.FAILED_PRECONDITION, job.getReason()));
    this.job = job;
  }

  /** {@return the job as it ended, with its last error} */
  public Job job() {
    return job;
  }

  /** {@return FAILED, CANCELLED or EXPIRED} */
  public JobState state() {
    return job.getState();
  }

  private static String text(Job job) {
    String state =
        job.getState().name().replace("JOB_STATE_", "").toLowerCase(java.util.Locale.ROOT);
    String why = job.hasLastError() ? ": " + job.getLastError().getType() : "";
    return "job " + job.getId() + " is " + state + why;
  }
}

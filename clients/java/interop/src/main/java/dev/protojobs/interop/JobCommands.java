package dev.protojobs.interop;

import dev.protojobs.client.Client;
import dev.protojobs.v1.Job;
import dev.protojobs.v1.JobFilter;
import dev.protojobs.v1.JobState;
import dev.protojobs.v1.JobView;
import dev.protojobs.v1.ListJobsRequest;
import dev.protojobs.v1.StateCounts;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Commands about jobs and queues that are stored. */
final class JobCommands {
  private JobCommands() {}

  /** Does something with one job, and shows it. */
  abstract static class OneJob implements Callable<Integer> {
    @Mixin private Server server;

    @Option(names = "--job-id", required = true)
    private String jobId;

    abstract void act(Client client, String jobId);

    @Override
    public Integer call() {
      try (Client client = server.client()) {
        act(client, jobId);
        Lines.job("job", client.jobs().get(jobId, JobView.JOB_VIEW_FULL), true);
        return 0;
      }
    }
  }

  /** Shows a job. */
  @Command(name = "get")
  static final class Get extends OneJob {
    @Override
    void act(Client client, String jobId) {
      // Showing it is all.
    }
  }

  /** Cancels a job. */
  @Command(name = "cancel")
  static final class Cancel extends OneJob {
    @Override
    void act(Client client, String jobId) {
      client.jobs().cancel(jobId);
    }
  }

  /** Takes a job up again. */
  @Command(name = "retry")
  static final class Retry extends OneJob {
    @Override
    void act(Client client, String jobId) {
      client.jobs().retry(jobId);
    }
  }

  /** Lists jobs that failed for good. */
  @Command(name = "failed")
  static final class Failed implements Callable<Integer> {
    @Mixin private Server server;

    @Option(names = "--queue", required = true)
    private String queue;

    @Option(names = "--n", description = "at most; 0 for all", defaultValue = "0")
    private long count;

    @Override
    public Integer call() {
      JobFilter filter =
          JobFilter.newBuilder().addQueues(queue).addStates(JobState.JOB_STATE_FAILED).build();
      ListJobsRequest request =
          ListJobsRequest.newBuilder()
              .setFilter(filter)
              .setView(JobView.JOB_VIEW_FULL)
              .setPageSize(100)
              .build();
      try (Client client = server.client()) {
        Stream<Job> jobs = client.jobs().list(request);
        (count > 0 ? jobs.limit(count) : jobs).forEach(job -> Lines.job("job", job, true));
        return 0;
      }
    }
  }

  /** Shows the numbers of a queue. */
  @Command(name = "stats")
  static final class Stats implements Callable<Integer> {
    @Mixin private Server server;

    @Option(names = "--queue", required = true)
    private String queue;

    @Override
    public Integer call() {
      try (Client client = server.client()) {
        StateCounts counts = client.queues().stats(queue).getCounts();
        Map<String, Object> line = Lines.line("stats");
        line.put("queue", queue);
        line.put("pending", counts.getPending());
        line.put("scheduled", counts.getScheduled());
        line.put("running", counts.getRunning());
        line.put("retrying", counts.getRetrying());
        line.put("completed", counts.getCompleted());
        line.put("failed", counts.getFailed());
        line.put("cancelled", counts.getCancelled());
        line.put("expired", counts.getExpired());
        Lines.write(line);
        return 0;
      }
    }
  }
}

package dev.protojobs.interop;

import com.google.protobuf.ByteString;
import dev.protojobs.client.Client;
import dev.protojobs.client.JobRequest;
import dev.protojobs.client.Payload;
import dev.protojobs.v1.Job;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Schedules one job for later. */
@Command(name = "schedule")
final class ScheduleCommand implements Callable<Integer> {
  @Mixin private Server server;

  @Option(names = "--queue", required = true)
  private String queue;

  @Option(names = "--in", description = "seconds", required = true)
  private double seconds;

  @Option(names = "--kind", defaultValue = "echo")
  private String kind;

  @Override
  public Integer call() {
    JobRequest request =
        JobRequest.builder(kind).payload(ByteString.EMPTY, Payload.JSON).queue(queue).build();
    try (Client client = server.client()) {
      String id = client.schedules().in(request, Duration.ofMillis(Math.round(seconds * 1000)));
      Job job = client.jobs().get(id);
      Map<String, Object> line = Lines.line("dispatched");
      line.put("job_id", id);
      line.put("outcome", "CREATED");
      line.put("state", Lines.state(job.getState()));
      Lines.write(line);
      return 0;
    }
  }
}

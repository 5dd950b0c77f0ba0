package dev.protojobs.interop;

import dev.protojobs.client.Client;
import dev.protojobs.client.JobEvents;
import dev.protojobs.v1.JobEvent;
import dev.protojobs.v1.JobFilter;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Shows events as they come. */
@Command(name = "watch")
final class WatchCommand implements Callable<Integer> {
  @Mixin private Server server;

  @Option(names = "--queue", required = true)
  private String queue;

  @Option(names = "--n", description = "ends after so many; 0 for never", defaultValue = "1")
  private long count;

  @Override
  public Integer call() {
    try (Client client = server.client();
        JobEvents events = client.jobs().watch(JobFilter.newBuilder().addQueues(queue).build())) {
      Lines.write(Lines.line("watching"));
      for (long seen = 0; (count == 0 || seen < count) && events.hasNext(); seen++) {
        JobEvent event = events.next();
        Map<String, Object> line = Lines.line("job_event");
        line.put("type", event.getType().replace("job.", ""));
        line.put("job_id", event.getJob().getId());
        line.put("attempt", event.getAttempt());
        Lines.write(line);
      }
      return 0;
    }
  }
}

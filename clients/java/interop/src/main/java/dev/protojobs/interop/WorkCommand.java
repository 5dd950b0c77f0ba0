package dev.protojobs.interop;

import dev.protojobs.worker.Worker;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Works on a queue, and tells what happens. */
@Command(name = "work")
final class WorkCommand implements Callable<Integer> {
  @Mixin private Server server;

  @Option(names = "--queue", required = true)
  private String queue;

  @Option(
      names = "--n",
      description = "ends after so many settled jobs; 0 for never",
      defaultValue = "0")
  private long count;

  @Option(names = "--slots", defaultValue = "10")
  private int slots;

  @Option(names = "--kinds", split = ",")
  private List<String> kinds;

  @Option(names = "--grace", description = "seconds", defaultValue = "10")
  private double grace;

  @Option(names = "--health-file")
  private Path healthFile;

  @Option(names = "--quiet", description = "says nothing of single jobs")
  private boolean quiet;

  private Worker worker;

  @Override
  public Integer call() {
    Worker.Builder builder =
        Worker.builder()
            .server(server.options())
            .queue(queue)
            .slots(slots)
            .grace(Duration.ofMillis(Math.round(grace * 1000)))
            .listener(quiet ? new WorkLines() : new JobLines(count, () -> worker.stop()));
    if (quiet && count > 0) {
      builder.maxJobs(count);
    }
    if (healthFile != null) {
      builder.healthFile(healthFile);
    }
    Kinds.register(builder, kinds);
    worker = builder.build();
    return worker.run().code();
  }
}

package dev.protojobs.interop;

import com.google.protobuf.util.JsonFormat;
import dev.protojobs.client.Client;
import dev.protojobs.client.DispatchResult;
import dev.protojobs.client.Dispatched;
import dev.protojobs.client.JobRequest;
import dev.protojobs.client.ProtoJobsException;
import dev.protojobs.v1.JobSpec;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Semaphore;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Stores jobs, and waits for them if asked. */
@Command(name = "dispatch")
final class DispatchCommand implements Callable<Integer> {
  /** Dispatches that share a stream: as many as its frames under way can hold. */
  private static final int AT_ONCE = 4000;

  enum Mode {
    single,
    batch,
    stream
  }

  @Mixin private Server server;

  @Option(names = "--queue", required = true)
  private String queue;

  @Option(names = "--n", defaultValue = "1")
  private int count;

  @Option(names = "--spec", description = "JSON of a JobSpec without queue; - reads standard input")
  private String spec;

  @Option(names = "--mode", defaultValue = "single")
  private Mode mode;

  @Option(names = "--wait", description = "seconds")
  private Double wait;

  @Option(names = "--quiet", description = "says nothing of single jobs")
  private boolean quiet;

  @Override
  public Integer call() throws IOException {
    JobRequest request = JobRequest.builder(read()).queue(queue).build();
    List<JobRequest> requests = Collections.nCopies(count, request);
    try (Client client = server.client()) {
      long began = System.nanoTime();
      List<DispatchResult> results = send(client, requests);
      if (quiet) {
        results.forEach(DispatchResult::orThrow);
        tellAll(results.size(), System.nanoTime() - began);
        return 0;
      }
      boolean well = true;
      List<String> stored = new ArrayList<>();
      for (DispatchResult result : results) {
        try {
          Dispatched dispatched = result.orThrow();
          stored.add(dispatched.jobId());
          tell(dispatched);
        } catch (ProtoJobsException error) {
          well = false;
          Lines.error(error, result.jobId());
        }
      }
      if (wait != null) {
        Duration timeout = Duration.ofMillis(Math.round(wait * 1000));
        stored.forEach(id -> Lines.job("finished", client.jobs().await(id, timeout), false));
      }
      return well ? 0 : 1;
    }
  }

  private JobSpec read() throws IOException {
    if (spec == null) {
      return JobSpec.newBuilder().setKind("echo").build();
    }
    String json =
        spec.equals("-")
            ? new String(System.in.readAllBytes(), StandardCharsets.UTF_8)
            : Files.readString(Path.of(spec));
    JobSpec.Builder read = JobSpec.newBuilder();
    JsonFormat.parser().merge(json, read);
    return read.build();
  }

  private List<DispatchResult> send(Client client, List<JobRequest> requests) {
    if (mode == Mode.batch) {
      return client.dispatchAll(requests);
    }
    List<DispatchResult> results = new ArrayList<>();
    if (mode == Mode.single) {
      requests.forEach(request -> results.add(new DispatchResult.Stored(client.dispatch(request))));
      return results;
    }
    Semaphore free = new Semaphore(AT_ONCE);
    List<CompletableFuture<Dispatched>> answers = new ArrayList<>();
    for (JobRequest request : requests) {
      free.acquireUninterruptibly();
      CompletableFuture<Dispatched> answer = client.dispatchAsync(request);
      answer.whenComplete((dispatched, error) -> free.release());
      answers.add(answer);
    }
    for (CompletableFuture<Dispatched> answer : answers) {
      try {
        results.add(new DispatchResult.Stored(answer.join()));
      } catch (CompletionException error) {
        results.add(new DispatchResult.Refused("", ProtoJobsException.from(error.getCause())));
      }
    }
    return results;
  }

  private static void tellAll(int jobs, long nanos) {
    Map<String, Object> line = Lines.line("dispatched_all");
    line.put("jobs", jobs);
    line.put("seconds", nanos / 1e9);
    Lines.write(line);
  }

  private static void tell(Dispatched dispatched) {
    Map<String, Object> line = Lines.line("dispatched");
    line.put("job_id", dispatched.jobId());
    line.put("outcome", dispatched.outcome().name().replace("DISPATCH_OUTCOME_", ""));
    line.put("state", Lines.state(dispatched.state()));
    Lines.write(line);
  }
}

package dev.protojobs.interop;

import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import dev.protojobs.client.Payload;
import dev.protojobs.v1.JobSpec;
import dev.protojobs.v1.JobState;
import dev.protojobs.v1.SettleCode;
import dev.protojobs.worker.Ending;
import dev.protojobs.worker.ExitReason;
import dev.protojobs.worker.JobContext;
import dev.protojobs.worker.Worker;
import dev.protojobs.worker.WorkerListener;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Works on a queue, and tells what happens. */
@Command(name = "work")
final class WorkCommand implements Callable<Integer>, WorkerListener {
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

  private final Set<String> unsettled = new HashSet<>();
  private Worker worker;
  private long settled;

  @Override
  public Integer call() {
    Worker.Builder builder =
        Worker.builder()
            .server(server.options())
            .queue(queue)
            .slots(slots)
            .grace(Duration.ofMillis(Math.round(grace * 1000)))
            .listener(this);
    if (healthFile != null) {
      builder.healthFile(healthFile);
    }
    Kinds.register(builder, kinds);
    worker = builder.build();
    return worker.run().code();
  }

  @Override
  public void connected(String session, boolean resumed) {
    Map<String, Object> line = Lines.line("ready");
    line.put("session", session);
    line.put("resumed", resumed);
    Lines.write(line);
  }

  @Override
  public void started(JobContext job) {
    Payload payload = job.payload();
    JobSpec spec = job.spec();
    ByteString checkpoint = job.checkpoint();
    Map<String, Object> line = Lines.line("started");
    line.put("job_id", job.jobId());
    line.put("kind", job.kind());
    line.put("attempt", job.attempt());
    line.put("payload_sha256", sha256(payload.data()));
    line.put("payload_len", payload.data().size());
    line.put("headers", job.headers());
    line.put("priority", job.priority());
    line.put("run_time_us", spec.hasRunTime() ? micros(spec.getRunTime()) : null);
    line.put("traceparent", job.headers().get("traceparent"));
    line.put("checkpoint", checkpoint.isEmpty() ? null : Lines.base64(checkpoint));
    line.put("at_us", ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now()));
    Lines.write(line);
  }

  private static long micros(Timestamp time) {
    return time.getSeconds() * 1_000_000 + time.getNanos() / 1000;
  }

  private static String sha256(ByteString bytes) {
    try {
      return HexFormat.of()
          .formatHex(MessageDigest.getInstance("SHA-256").digest(bytes.toByteArray()));
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException(error);
    }
  }

  @Override
  public void ended(JobContext job, Ending ending) {
    Map<String, Object> line = Lines.line("ended");
    line.put("job_id", job.jobId());
    line.put("attempt", job.attempt());
    line.put(
        "outcome",
        ending == Ending.RELEASED ? "abandoned" : ending.name().toLowerCase(Locale.ROOT));
    Lines.write(line);
    if (ending != Ending.RELEASED) {
      unsettled.add(job.jobId() + "/" + job.attempt());
    }
  }

  @Override
  public void settled(String jobId, int attempt, SettleCode code, JobState next) {
    if (code == SettleCode.SETTLE_CODE_RETRY_LATER || code == SettleCode.SETTLE_CODE_INVALID) {
      return; // it is sent again
    }
    Map<String, Object> line = Lines.line("settled");
    line.put("job_id", jobId);
    line.put("attempt", attempt);
    line.put("code", code.name().replace("SETTLE_CODE_", ""));
    Lines.write(line);
    if (unsettled.remove(jobId + "/" + attempt) && ++settled == count) {
      worker.stop();
    }
  }

  @Override
  public void draining() {
    Lines.write(Lines.line("draining"));
  }

  @Override
  public void stopped(ExitReason reason, long processed) {
    Map<String, Object> line = Lines.line("stopped");
    line.put("processed", processed);
    Lines.write(line);
  }
}

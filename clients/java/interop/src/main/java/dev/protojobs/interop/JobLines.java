package dev.protojobs.interop;

import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import dev.protojobs.client.Payload;
import dev.protojobs.v1.JobSpec;
import dev.protojobs.v1.JobState;
import dev.protojobs.v1.SettleCode;
import dev.protojobs.worker.Ending;
import dev.protojobs.worker.JobContext;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/** Tells each step of every job, too, and counts those whose outcome the server has confirmed. */
final class JobLines extends WorkLines {
  private final long count;
  private final Runnable enough;
  private final Set<String> unsettled = new HashSet<>();
  private long settled;

  /** {@code enough} runs once so many jobs are settled; never for 0. */
  JobLines(long count, Runnable enough) {
    this.count = count;
    this.enough = enough;
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
      enough.run();
    }
  }
}

package dev.protojobs.interop;

import com.google.protobuf.ByteString;
import dev.protojobs.client.JobRequest;
import dev.protojobs.worker.JobContext;
import dev.protojobs.worker.JobFailureException;
import dev.protojobs.worker.JobHandler;
import dev.protojobs.worker.NonRetryableException;
import dev.protojobs.worker.Verdict;
import dev.protojobs.worker.Worker;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;

/** The handlers that every interop program has. */
final class Kinds {
  private static final ByteString HALF = ByteString.copyFromUtf8("half");
  private static final int BIG_BYTES = 5 * 1024 * 1024;

  private Kinds() {}

  /** The payload of {@code typed}. */
  record Typed(int n) {}

  /** The payload of {@code sleep} and {@code stubborn}. */
  record Sleep(double seconds) {}

  /** Registers the kinds of these names; null for all. */
  static void register(Worker.Builder builder, List<String> names) {
    Map<String, JobHandler<ByteString>> plain = new TreeMap<>();
    plain.put("echo", (job, data) -> data);
    plain.put("noop", (job, data) -> null);
    plain.put("fail_twice", (job, data) -> failTwice(job));
    plain.put(
        "fail",
        (job, data) -> {
          throw new JobFailureException("NoLuck", "no luck, attempt " + job.attempt() + ": žluť");
        });
    plain.put(
        "nonretryable",
        (job, data) -> {
          throw new NonRetryableException("no retry can help");
        });
    plain.put(
        "snooze_once",
        (job, data) -> job.attempt() == 1 ? new Verdict.Snooze(Duration.ofSeconds(1)) : null);
    plain.put("checkpoint", (job, data) -> checkpoint(job));
    plain.put("progress", (job, data) -> progress(job));
    plain.put(
        "odd",
        (job, data) -> {
          throw new AssertionError("not an exception");
        });
    plain.put("big", (job, data) -> new byte[BIG_BYTES]);
    plain.put("chain", (job, data) -> chain(job));
    plain.put("discard", (job, data) -> new Verdict.Discard("of no use"));
    plain.put("cancel", (job, data) -> new Verdict.Cancel("not wanted"));
    plain.forEach(
        (kind, handler) -> {
          if (names == null || names.contains(kind)) {
            builder.handle(kind, ByteString.class, handler);
          }
        });
    if (names == null || names.contains("typed")) {
      builder.handle("typed", Typed.class, (job, data) -> text(data.n() + 1L));
    }
    if (names == null || names.contains("sleep")) {
      builder.handle("sleep", Sleep.class, (job, data) -> sleep(data));
    }
    if (names == null || names.contains("stubborn")) {
      builder.handle("stubborn", Sleep.class, (job, data) -> ignoreInterrupts(data));
    }
  }

  private static byte[] text(long number) {
    return Long.toString(number).getBytes(StandardCharsets.UTF_8);
  }

  private static Object failTwice(JobContext job) {
    if (job.failures() < 2) {
      throw new JobFailureException("NoLuck", "no luck, attempt " + job.attempt() + ": žluť");
    }
    return text(job.attempt());
  }

  private static Object checkpoint(JobContext job) {
    if (job.checkpoint().isEmpty()) {
      job.saveCheckpoint(HALF);
      throw new JobFailureException("Half", "half of it is done");
    }
    return job.checkpoint();
  }

  private static Object progress(JobContext job) {
    job.progress(0.1, "10 %");
    job.progress(0.5, "50 %");
    job.progress(1.0, "100 %");
    return null;
  }

  private static Object chain(JobContext job) {
    JobRequest next = JobRequest.builder("noop").queue(job.queue()).build();
    return new Verdict.Complete(null, List.of(next));
  }

  private static Object sleep(Sleep span) throws InterruptedException {
    TimeUnit.NANOSECONDS.sleep(nanos(span));
    return null;
  }

  private static Object ignoreInterrupts(Sleep span) {
    long end = System.nanoTime() + nanos(span);
    for (long left; (left = end - System.nanoTime()) > 0; ) {
      try {
        TimeUnit.NANOSECONDS.sleep(left);
      } catch (InterruptedException ignored) {
        // That is what this kind is for.
      }
    }
    return null;
  }

  private static long nanos(Sleep span) {
    return Math.round(span.seconds() * 1e9);
  }
}

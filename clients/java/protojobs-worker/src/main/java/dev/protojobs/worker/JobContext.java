package dev.protojobs.worker;

import com.google.protobuf.ByteString;
import dev.protojobs.client.JobRequest;
import dev.protojobs.client.Payload;
import dev.protojobs.client.PayloadContext.Use;
import dev.protojobs.v1.JobSpec;
import dev.protojobs.v1.Progress;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;

/**
 * A running attempt, as its handler sees it. For the thread of the handler, and threads that it
 * starts.
 */
public final class JobContext {
  private final Attempt attempt;

  JobContext(Attempt attempt) {
    this.attempt = attempt;
  }

  /** {@return id of the job, the same over all attempts (UUIDv7)} */
  public String jobId() {
    return attempt.lease.jobId();
  }

  /** {@return fencing number of this run: grows at every lease, also where nothing failed} */
  public int attempt() {
    return attempt.lease.attempt();
  }

  /** {@return which handler runs it} */
  public String kind() {
    return spec().getKind();
  }

  /** {@return queue it came from} */
  public String queue() {
    return spec().getQueue();
  }

  /** {@return counted failures so far} */
  public int failures() {
    return attempt.job().getFailures();
  }

  /** {@return failures that are retried; one more ends the job as FAILED} */
  public int maxRetries() {
    return attempt.job().getMaxRetries();
  }

  /** Tells whether a failure now ends the job as FAILED. */
  public boolean isLastTry() {
    return failures() >= maxRetries();
  }

  /** {@return 1 to 9, higher first} */
  public int priority() {
    return spec().getPriority() == 0 ? 5 : spec().getPriority();
  }

  /** {@return opaque pairs set by the producer, such as traceparent} */
  public Map<String, String> headers() {
    return spec().getHeadersMap();
  }

  /** {@return indexed pairs set by the producer} */
  public Map<String, String> labels() {
    return spec().getLabelsMap();
  }

  /** {@return what was dispatched, as it is stored: its payload may be what a codec has made} */
  public JobSpec spec() {
    return attempt.job().getSpec();
  }

  /**
   * Returns the payload as it was dispatched, without what a codec did to it.
   *
   * @throws dev.protojobs.client.UndecodableException if the codec cannot read it
   */
  public Payload payload() {
    return attempt.handler.payload(attempt.job());
  }

  /**
   * Returns what an earlier attempt saved last; empty if nothing.
   *
   * @throws dev.protojobs.client.UndecodableException if the codec cannot read it
   */
  public ByteString checkpoint() {
    return attempt.handler.checkpoint(attempt.job());
  }

  /** {@return how long the handler may still run; never negative} */
  public Duration timeLeft() {
    long left = attempt.runTimeout - (System.nanoTime() - attempt.beganAt());
    return Duration.ofNanos(Math.max(0, left));
  }

  /** Tells whether the handler should stop. Its thread is interrupted besides. */
  public boolean isStopped() {
    return attempt.stopReason() != null;
  }

  /** {@return why it should stop; empty while it may go on} */
  public Optional<StopReason> stopReason() {
    return Optional.ofNullable(attempt.stopReason());
  }

  /**
   * Waits until the handler should stop, or for a while. True: it should.
   *
   * @param timeout longest wait
   * @throws InterruptedException if it should stop, on the handler's own thread
   */
  public boolean awaitStop(Duration timeout) throws InterruptedException {
    return attempt.awaitStop(timeout);
  }

  /**
   * Ends the handler once it should stop.
   *
   * @throws JobStoppedException then; let it pass through
   */
  public void throwIfStopped() {
    StopReason reason = attempt.stopReason();
    if (reason != null) {
      throw new JobStoppedException(reason);
    }
  }

  /**
   * Tells how far the job is. Sent at most once a second; the last one always.
   *
   * @param ratio 0.0 to 1.0
   * @param message cut to 1 KiB
   */
  public void progress(double ratio, String message) {
    if (!(ratio >= 0.0 && ratio <= 1.0)) {
      throw new IllegalArgumentException("progress is between 0.0 and 1.0");
    }
    String text = Errors.cut(message, Errors.MAX_PROGRESS_BYTES);
    attempt.progress.set(Progress.newBuilder().setRatio(ratio).setMessage(text).build());
    attempt.tell();
  }

  /**
   * Hands bytes to the next attempt. A later call replaces them.
   *
   * @param checkpoint at most 64 KiB as a codec makes them
   */
  public void saveCheckpoint(ByteString checkpoint) {
    ByteString stored = attempt.handler.seal(attempt.job(), checkpoint, Use.CHECKPOINT);
    if (stored.size() > Limits.CHECKPOINT_BYTES) {
      throw new IllegalArgumentException(
          "a checkpoint has at most " + Limits.CHECKPOINT_BYTES + " bytes");
    }
    attempt.checkpoint.set(stored);
    attempt.tell();
  }

  /**
   * Stores a job in the transaction that completes this one; if the attempt ends otherwise, it is
   * never stored.
   *
   * @param request at most 1000 of them, and 2 MiB in all; one without an id gets one of this
   *     attempt
   */
  public void dispatch(JobRequest request) {
    attempt.addChild(request);
  }

  @Override
  public String toString() {
    return "JobContext[" + jobId() + ", " + kind() + ", attempt " + attempt() + "]";
  }
}

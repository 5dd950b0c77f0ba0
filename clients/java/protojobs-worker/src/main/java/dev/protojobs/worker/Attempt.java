package dev.protojobs.worker;

import com.google.protobuf.ByteString;
import dev.protojobs.client.JobRequest;
import dev.protojobs.client.Times;
import dev.protojobs.client.TraceFields;
import dev.protojobs.v1.JobSpec;
import dev.protojobs.v1.LeasedJob;
import dev.protojobs.v1.Progress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;

/**
 * One run of one handler. Written by the thread of the handler; {@link #stop} and everything that
 * is said to be the session's are for the session's thread.
 */
final class Attempt {
  private static final Duration DEFAULT_RUN_TIMEOUT = Duration.ofSeconds(300);
  private static final int MAX_CHILDREN = 1000;
  // One completion travels in one frame, of which a server takes 4 MiB unless it is set up
  // otherwise.
  private static final int MAX_CHILDREN_BYTES = 2 * 1024 * 1024;

  final Lease lease;
  final Handler handler;
  final JobContext context;
  final long runTimeout;
  final AtomicReference<Progress> progress = new AtomicReference<>();
  final AtomicReference<ByteString> checkpoint = new AtomicReference<>();

  // The session's: what left last, of which nobody says that it was stored; and when progress left.
  Progress toldProgress;
  ByteString toldCheckpoint;
  boolean progressSent;
  long progressSentAt;
  boolean abandoned;
  boolean endTold;

  private final Consumer<Attempt> onUpdate;
  private final List<JobSpec> children = new ArrayList<>();
  private final CountDownLatch stopped = new CountDownLatch(1);
  private int childrenBytes;
  private Thread thread;
  private volatile StopReason stopReason;
  private volatile long stoppedAt;
  private volatile long beganAt;
  private volatile boolean began;

  Attempt(Lease lease, Handler handler, Consumer<Attempt> onUpdate) {
    this.lease = lease;
    this.handler = handler;
    this.onUpdate = onUpdate;
    context = new JobContext(this);
    Duration told = Times.read(job().getRunTimeout());
    Duration given = told.isZero() ? DEFAULT_RUN_TIMEOUT : told;
    Duration own = handler.options().timeout();
    runTimeout = (own == null || own.compareTo(given) > 0 ? given : own).toNanos();
  }

  LeasedJob job() {
    return lease.job;
  }

  /** Notes that the handler begins on this thread. False: it is to stop already. */
  synchronized boolean enter(long now) {
    beganAt = now;
    began = true;
    if (stopReason != null) {
      return false;
    }
    thread = Thread.currentThread();
    return true;
  }

  /**
   * Notes that the handler has left this thread, and takes back an interrupt that came too late.
   */
  void leave() {
    synchronized (this) {
      thread = null;
    }
    Thread.interrupted();
  }

  /** Asks the handler to stop. The first reason stays. */
  synchronized void stop(StopReason reason, long now) {
    if (stopReason != null) {
      return;
    }
    stoppedAt = now;
    stopReason = reason;
    stopped.countDown();
    if (thread != null) {
      thread.interrupt();
    }
  }

  boolean awaitStop(Duration timeout) throws InterruptedException {
    return stopped.await(timeout.toNanos(), java.util.concurrent.TimeUnit.NANOSECONDS);
  }

  /** Returns why the handler is to stop; null while it may go on. */
  StopReason stopReason() {
    return stopReason;
  }

  long stoppedAt() {
    return stoppedAt;
  }

  boolean hasBegun() {
    return began;
  }

  long beganAt() {
    return beganAt;
  }

  /** Lets the session know that there is progress or a checkpoint to send. */
  void tell() {
    onUpdate.accept(this);
  }

  /** Stores a job with the completion of this attempt, in the trace of the caller. */
  synchronized void addChild(JobRequest request) {
    JobSpec spec =
        request.toSpec(
            request.id(), TraceFields.current(List.of()), handler.codec(), handler.mapper());
    if (children.size() >= MAX_CHILDREN) {
      throw new IllegalArgumentException("a completion brings at most " + MAX_CHILDREN + " jobs");
    }
    if (childrenBytes + spec.getSerializedSize() > MAX_CHILDREN_BYTES) {
      throw new IllegalArgumentException(
          "the jobs of a completion have at most " + MAX_CHILDREN_BYTES + " bytes in all");
    }
    childrenBytes += spec.getSerializedSize();
    children.add(spec);
  }

  synchronized List<JobSpec> children() {
    return List.copyOf(children);
  }
}

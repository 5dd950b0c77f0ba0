package dev.protojobs.worker;

import dev.protojobs.v1.JobError;
import dev.protojobs.v1.ReleaseReason;
import java.lang.reflect.InvocationTargetException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Gives started leases to threads and watches over what runs. Handlers run elsewhere and report
 * into queues that the session empties; all else is for the session's thread.
 */
final class Executor {
  private static final Logger LOG = LoggerFactory.getLogger(Executor.class);
  private static final int FIRST_JAVA_WITH_VIRTUAL_THREADS = 21;
  private static final long IDLE_SECONDS = 10;
  // When so many handlers have ended, the session hears of them at once.
  private static final int GATHER_MOST = 128;

  /** What became of an attempt. */
  record Report(Attempt attempt, Outcome outcome) {}

  private final Map<String, Handler> handlers;
  private final Execution execution;
  private final long stopGrace;
  private final Runnable wake;
  private final Runnable wakeSoon;
  private final Threads threads;
  // Of their own: a hook that blocks must not hold up handlers that count as begun.
  private final ExecutorService hooks = Executors.newCachedThreadPool(named("protojobs-hook-"));
  private final Queue<Report> ended = new ConcurrentLinkedQueue<>();
  private final Queue<Attempt> updated = new ConcurrentLinkedQueue<>();
  private final AtomicInteger running = new AtomicInteger();
  private final AtomicInteger gathered = new AtomicInteger();
  private final Set<Attempt> active = new HashSet<>();

  /** {@code wake} asks for a turn of the session, {@code wakeSoon} for one in a moment. */
  Executor(
      Map<String, Handler> handlers,
      Execution execution,
      int concurrency,
      long stopGrace,
      Runnable wake,
      Runnable wakeSoon) {
    this.handlers = handlers;
    this.execution = execution;
    this.stopGrace = stopGrace;
    this.wake = wake;
    this.wakeSoon = wakeSoon;
    threads = new Threads(pool(concurrency));
  }

  private static ExecutorService pool(int concurrency) {
    if (Runtime.version().feature() >= FIRST_JAVA_WITH_VIRTUAL_THREADS) {
      try {
        return (ExecutorService)
            Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
      } catch (NoSuchMethodException | IllegalAccessException | InvocationTargetException absent) {
        LOG.debug("no virtual threads; handlers run on platform threads");
      }
    }
    // The session starts no more handlers than there are slots, so nothing ever waits in this queue
    // for long.
    ThreadPoolExecutor pool =
        new ThreadPoolExecutor(
            concurrency,
            concurrency,
            IDLE_SECONDS,
            TimeUnit.SECONDS,
            new LinkedBlockingQueue<>(),
            named("protojobs-handler-"));
    pool.allowCoreThreadTimeOut(true);
    return pool;
  }

  private static ThreadFactory named(String prefix) {
    AtomicInteger number = new AtomicInteger();
    return task -> {
      Thread thread = new Thread(task, prefix + number.incrementAndGet());
      // A handler that does not stop must not keep the process.
      thread.setDaemon(true);
      return thread;
    };
  }

  /**
   * Begins the handlers of leases whose frame has left, in order. Returns those that cannot run
   * here, and why.
   */
  Map<Lease, ReleaseReason> start(List<Lease> leases) {
    Map<Lease, ReleaseReason> back = new LinkedHashMap<>();
    // All of them first: the first to end waits for those that begin with it.
    running.addAndGet(leases.size());
    for (Lease lease : leases) {
      Handler handler = handlers.get(lease.job.getSpec().getKind());
      if (handler == null) {
        back.put(lease, ReleaseReason.RELEASE_REASON_UNKNOWN_KIND);
        continue;
      }
      Attempt attempt = new Attempt(lease, handler, this::update);
      try {
        threads.execute(() -> run(attempt));
        lease.run = attempt;
        active.add(attempt);
      } catch (RejectedExecutionException | OutOfMemoryError error) {
        LOG.error("no thread for a handler: {}", error.toString());
        back.put(lease, ReleaseReason.RELEASE_REASON_OVERLOAD);
      }
    }
    if (running.addAndGet(-back.size()) == 0 && !ended.isEmpty()) {
      wake.run();
    }
    return back;
  }

  private void run(Attempt attempt) {
    Outcome outcome;
    try {
      outcome = execution.run(attempt);
    } catch (Throwable error) { // of a tracer, or of memory: every attempt is reported
      outcome = new Outcome.Failed(Errors.of(error), true);
    }
    ended.add(new Report(attempt, outcome));
    // What ends in one moment goes to the server together: a frame costs both sides more than an
    // outcome in it.
    boolean isLast = running.decrementAndGet() == 0;
    int reports = gathered.incrementAndGet();
    if (isLast || reports == GATHER_MOST) {
      wake.run();
    } else if (reports == 1) {
      wakeSoon.run();
    }
  }

  private void update(Attempt attempt) {
    updated.add(attempt);
    wake.run();
  }

  /** Takes what handlers have reported. */
  List<Report> ended() {
    List<Report> reports = new ArrayList<>();
    gathered.set(0); // first: what comes while the queue is emptied asks for another turn
    for (Report report; (report = ended.poll()) != null; ) {
      active.remove(report.attempt);
      reports.add(report);
    }
    return reports;
  }

  /** Takes attempts that have something to tell. */
  List<Attempt> updated() {
    List<Attempt> attempts = new ArrayList<>();
    for (Attempt attempt; (attempt = updated.poll()) != null; ) {
      attempts.add(attempt);
    }
    return attempts;
  }

  /**
   * Stops what has passed its run timeout. Returns attempts that did not stop in time: their slots
   * are stuck.
   */
  List<Attempt> watch(long now) {
    List<Attempt> stuck = new ArrayList<>();
    for (Attempt attempt : active) {
      if (!attempt.hasBegun() || attempt.abandoned) {
        continue;
      }
      long deadline = attempt.beganAt() + attempt.runTimeout;
      if (now - deadline >= 0) {
        attempt.stop(StopReason.TIMEOUT, now);
      }
      if (attempt.stopReason() == null) {
        continue;
      }
      long asked = attempt.stoppedAt();
      boolean timedOut = attempt.stopReason() == StopReason.TIMEOUT;
      long patience = timedOut || asked - deadline > 0 ? asked : deadline;
      if (now - (patience + stopGrace) >= 0) {
        attempt.abandoned = true;
        stuck.add(attempt);
        LOG.error(
            "handler of job {} ({}) does not stop; its slot is stuck",
            attempt.lease.jobId(),
            attempt.handler.kind());
      }
    }
    return stuck;
  }

  /** Runs the hook of exactly this attempt, with which its job has failed for good. */
  void failed(Attempt attempt, JobError error) {
    try {
      hooks.execute(
          () ->
              Execution.tell(
                  () -> attempt.handler.options().failed().accept(attempt.context, error)));
    } catch (RejectedExecutionException closed) {
      LOG.debug("the worker has ended");
    }
  }

  /** Lets idle threads end, and interrupts the others: nobody waits for their outcome. */
  void close() {
    threads.shutdown();
    hooks.shutdown();
    active.forEach(attempt -> attempt.stop(StopReason.SHUTDOWN, System.nanoTime()));
  }

  /** Waits for hooks that hear of failures, after {@link #close}. */
  void awaitHooks(Duration longest) {
    try {
      hooks.awaitTermination(longest.toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }
}

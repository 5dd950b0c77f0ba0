package dev.protojobs.worker;

import com.google.protobuf.ByteString;
import dev.protojobs.v1.Deliver;
import dev.protojobs.v1.LeaseRef;
import dev.protojobs.v1.ReleaseReason;
import dev.protojobs.worker.Lease.State;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The jobs that this worker has: how many it wants, which begin now, what their handlers said.
 * Belongs to the session's thread.
 */
final class Holding {
  private static final Logger LOG = LoggerFactory.getLogger(Holding.class);
  private static final long WAITED_TOO_LONG = Duration.ofSeconds(5).toNanos();
  private static final long ADAPT_NANOS = Duration.ofMillis(250).toNanos();
  // Slots that stand idle for a smaller share of the time cost less than an urgent job's wait
  // behind what would fill them.
  private static final double STARVED = 0.1;

  /** What the worker is about. */
  enum Phase {
    WORKING,
    QUIET,
    LEAVING
  }

  final Ledger ledger = new Ledger();
  final Updates updates = new Updates();
  Limits limits = Limits.DEFAULT;
  Phase phase = Phase.WORKING;
  long ended;
  int stuck;
  long lastBusy;
  int windowTold;

  private final WorkerOptions options;
  private final Executor executor;
  private final List<WorkerListener> listeners;
  private final Runnable wake;
  private final Set<String> stuckJobs = new HashSet<>();
  private final Pacing.Prefetch prefetch;
  private long started;
  private long adaptedAt;
  private long endedBefore;
  private final Pacing.Dryness dryness = new Pacing.Dryness();

  /** {@code wake} asks for a turn: there is something to begin or to say. */
  Holding(
      WorkerOptions options,
      Executor executor,
      List<WorkerListener> listeners,
      Runnable wake,
      long now) {
    this.options = options;
    this.executor = executor;
    this.listeners = listeners;
    this.wake = wake;
    prefetch = new Pacing.Prefetch(options.slots());
    lastBusy = now;
    adaptedAt = now;
  }

  /** Says how many handlers can run at once. */
  int slots() {
    return Math.max(1, options.slots() - stuck);
  }

  /** Tells whether {@code maxJobs} have begun. */
  boolean usedUp() {
    return options.maxJobs() != null && started >= options.maxJobs();
  }

  /** Tells whether everything is settled and nothing runs that could still be. */
  boolean nothingLeft() {
    return ledger.size() == 0 && ledger.running() <= stuck;
  }

  /** Says how many jobs may be delivered and not settled. */
  int window() {
    if (phase != Phase.WORKING) {
      return 0;
    }
    long wanted =
        options.window() == null ? (long) options.slots() + prefetch.jobs() : options.window();
    if (options.maxJobs() != null) {
      // What has begun stays in flight until it is settled; beyond it only what may still begin.
      long toBegin = Math.max(0, options.maxJobs() - started);
      wanted = Math.min(wanted, ledger.size() - ledger.waiting() + toBegin);
    }
    return (int) Math.max(0, Math.min(wanted - stuck, limits.maxInFlight()));
  }

  void deliver(Deliver deliver, long now) {
    lastBusy = now;
    dryness.refilled(now);
    stop(ledger.deliver(deliver.getItemsList()), StopReason.LEASE_LOST, now);
    if (phase == Phase.LEAVING) {
      ledger.dropWaiting();
    } else if (phase == Phase.QUIET) {
      ledger.releaseWaiting(ReleaseReason.RELEASE_REASON_SHUTDOWN);
    }
    if (ledger.running() < options.slots() || phase != Phase.WORKING) {
      wake.run();
    }
  }

  /**
   * Begins what there is room for. The frame that covers it must leave before {@link #start}; else
   * {@link #putBack}.
   */
  List<Lease> begin(long now) {
    if (phase != Phase.WORKING || ledger.waiting() == 0) {
      return List.of();
    }
    long room = options.slots() - ledger.running();
    if (options.maxJobs() != null) {
      room = Math.min(room, options.maxJobs() - started);
    }
    if (room <= 0) {
      return List.of();
    }
    List<Lease> begun = ledger.begin((int) room, now);
    started += begun.size();
    return begun;
  }

  /** Undoes {@link #begin}: the stream was lost before the frame had left. */
  void putBack(List<Lease> begun) {
    started -= begun.size();
    ledger.putBack(begun);
  }

  /** Runs the handlers of what has begun. */
  void start(List<Lease> begun) {
    List<Lease> free = new ArrayList<>(begun.size());
    for (Lease lease : begun) {
      if (stuckJobs.contains(lease.jobId())) {
        ledger.end(lease, new Outcome.Released(ReleaseReason.RELEASE_REASON_OVERLOAD));
      } else {
        free.add(lease);
      }
    }
    executor
        .start(free)
        .forEach(
            (lease, reason) -> {
              LOG.warn(
                  "job {} of kind {} goes back: {}",
                  lease.jobId(),
                  lease.job.getSpec().getKind(),
                  reason);
              ledger.end(lease, new Outcome.Released(reason));
            });
  }

  /** Notes what handlers reported. */
  void collect(long now) {
    List<Executor.Report> reports = executor.ended();
    for (Executor.Report report : reports) {
      Attempt attempt = report.attempt();
      Ending ending = ending(attempt, report.outcome());
      if (attempt.abandoned) {
        stuck--;
        stuckJobs.remove(attempt.lease.jobId());
      }
      ledger.end(attempt.lease, complete(attempt, report.outcome()));
      tellEnd(attempt, ending);
    }
    ended += reports.size();
    executor.updated().forEach(updates::add);
    if (!reports.isEmpty()) {
      lastBusy = now;
      if (ledger.waiting() == 0 && ledger.running() < options.slots()) {
        dryness.ranDry(now);
      }
    }
  }

  private void tellEnd(Attempt attempt, Ending ending) {
    if (attempt.endTold) {
      return;
    }
    attempt.endTold = true;
    for (WorkerListener listener : listeners) {
      Execution.tell(() -> listener.ended(attempt.context, ending));
    }
  }

  /** Gives back what runs: the worker waits for it no longer. */
  void abandon() {
    for (Lease lease : ledger.runningLeases()) {
      ledger.conclude(lease, Outcome.shutdown());
      if (lease.run != null) {
        tellEnd(lease.run, Ending.ABANDONED);
      }
    }
  }

  private static Ending ending(Attempt attempt, Outcome outcome) {
    if (attempt.abandoned) {
      return Ending.ABANDONED;
    }
    boolean lost =
        outcome instanceof Outcome.Released && attempt.stopReason() == StopReason.LEASE_LOST;
    if (lost || attempt.lease.state != State.RUNNING) {
      return Ending.LOST;
    }
    if (outcome instanceof Outcome.Failed failed) {
      return failed.discarded() ? Ending.DISCARD : Ending.FAIL;
    }
    if (outcome instanceof Outcome.Cancelled cancelled) {
      return cancelled.asked() ? Ending.CANCEL : Ending.CANCELLED;
    }
    if (outcome instanceof Outcome.Released) {
      return Ending.RELEASED;
    }
    return outcome instanceof Outcome.Snoozed ? Ending.SNOOZE : Ending.COMPLETE;
  }

  /** Drops a result that is too large; adds the last checkpoint to a failure. */
  private Outcome complete(Attempt attempt, Outcome outcome) {
    if (outcome instanceof Outcome.Completed completed
        && completed.result() != null
        && completed.result().size() > limits.maxResultBytes()) {
      LOG.warn(
          "result of job {} is too large and is dropped: {} bytes",
          attempt.lease.jobId(),
          completed.result().size());
      // One byte too many is enough for the server to drop it, and to say so on the job.
      return new Outcome.Completed(
          completed.result().substring(0, limits.maxResultBytes() + 1), completed.dispatch());
    }
    if (outcome instanceof Outcome.Failed failed) {
      // An update may still be on its way, or lost; with the failure it cannot come too late.
      ByteString latest =
          attempt.checkpoint.get() == null ? attempt.toldCheckpoint : attempt.checkpoint.get();
      if (latest != null && latest.size() <= limits.maxCheckpointBytes()) {
        attempt.checkpoint.set(null);
        attempt.toldCheckpoint = null;
        return failed.with(latest);
      }
    }
    return outcome;
  }

  /**
   * Goes on with what the server says we still have; tells it again what it may not have stored.
   */
  void resume(List<LeaseRef> kept, long now) {
    stop(ledger.resume(kept), StopReason.LEASE_LOST, now);
    for (Lease lease : ledger.leases()) {
      // A failure carries its checkpoint itself, and nothing follows the other ends.
      boolean over =
          lease.outcome instanceof Outcome.Completed
              || lease.outcome instanceof Outcome.Failed
              || lease.outcome instanceof Outcome.Cancelled;
      if (lease.run != null && !over) {
        updates.again(lease.run);
      }
    }
  }

  /** Forgets everything: the session is over. */
  void reset(long now) {
    stop(ledger.reset(), StopReason.LEASE_LOST, now);
  }

  void stop(List<Lease> leases, StopReason reason, long now) {
    for (Lease lease : leases) {
      if (lease.run != null) {
        lease.run.stop(reason, now);
      }
    }
  }

  /**
   * Enforces run timeouts; a handler that does not stop loses its slot and its job gets its
   * outcome.
   */
  void watch(long now) {
    for (Attempt attempt : executor.watch(now)) {
      stuck++;
      stuckJobs.add(attempt.lease.jobId());
      boolean cancelled = attempt.stopReason() == StopReason.CANCELLED;
      Outcome outcome =
          cancelled ? new Outcome.Cancelled(false) : complete(attempt, Execution.timedOut(attempt));
      ledger.conclude(attempt.lease, outcome);
      tellEnd(attempt, Ending.ABANDONED);
      wake.run();
    }
  }

  /**
   * Learns how much to ask for ahead. True: it has looked; it does so four times a second at most.
   */
  boolean adapt(long now) {
    long passed = now - adaptedAt;
    if (phase != Phase.WORKING || options.window() != null || passed < ADAPT_NANOS) {
      return false;
    }
    // Where the window is mostly full, more is there than we had asked for: what stood idle needed
    // not to.
    boolean starved = dryness.take(now) > STARVED * passed && 2L * ledger.size() >= window();
    prefetch.observe(ended - endedBefore, ledger.running(), passed / 1e9, starved);
    endedBefore = ended;
    adaptedAt = now;
    if (ledger.waiting() > 0 && now - lastBusy > WAITED_TOO_LONG) {
      // Every slot is held by a slow job: somebody else may have room for what waits here.
      ledger.releaseWaiting(ReleaseReason.RELEASE_REASON_OVERLOAD);
      wake.run();
    }
    return true;
  }
}

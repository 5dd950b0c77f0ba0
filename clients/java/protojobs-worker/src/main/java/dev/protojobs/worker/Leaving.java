package dev.protojobs.worker;

import dev.protojobs.v1.ReleaseReason;
import dev.protojobs.worker.Holding.Phase;
import java.time.Duration;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * How a worker leaves: it finishes what runs, after a while asks it to stop, then gives it back.
 */
final class Leaving {
  private static final Logger LOG = LoggerFactory.getLogger(Leaving.class);
  private static final Duration LONGEST_DEADLINE = Duration.ofHours(24);
  private static final long CONFIRM = Duration.ofSeconds(5).toNanos();
  private static final long CONFIRM_KILLED = Duration.ofMillis(500).toNanos();

  private final Holding holding;
  private final List<WorkerListener> listeners;
  private final Runnable wake;
  private final long stopGrace;
  private ExitReason exit;
  private long grace;
  private long beganAt;
  private boolean stoppedRunning;
  private boolean givenBack;
  private long givenBackAt;

  Leaving(WorkerOptions options, Holding holding, List<WorkerListener> listeners, Runnable wake) {
    this.holding = holding;
    this.listeners = listeners;
    this.wake = wake;
    grace = options.grace().toNanos();
    stopGrace = options.stopGrace().toNanos();
  }

  /** Returns why the worker leaves; null while it does not. */
  ExitReason exit() {
    return exit;
  }

  void exit(ExitReason reason) {
    exit = reason;
  }

  /** Returns the span from the first request until everything goes back, as a server takes it. */
  Duration deadline() {
    Duration whole = Duration.ofNanos(grace + stopGrace);
    return whole.compareTo(LONGEST_DEADLINE) < 0 ? whole : LONGEST_DEADLINE;
  }

  /** Takes no more jobs, and gives back what has not begun. */
  void quiet() {
    if (holding.phase == Phase.WORKING) {
      holding.phase = Phase.QUIET;
      holding.ledger.releaseWaiting(ReleaseReason.RELEASE_REASON_SHUTDOWN);
      LOG.info("quiet: taking no more jobs");
      wake.run();
    }
  }

  /**
   * Finishes what runs, for {@code within} at most (null: the grace). A later call changes nothing
   * but by KILLED.
   */
  void leave(ExitReason reason, Duration within, long now) {
    if (within != null) {
      grace = Math.min(grace, within.toNanos());
    }
    if (holding.phase != Phase.LEAVING) {
      holding.phase = Phase.LEAVING;
      exit = reason;
      beganAt = now;
      holding.ledger.dropWaiting();
      LOG.info("leaving ({}): {} handlers run", reason, holding.ledger.running());
      listeners.forEach(listener -> Execution.tell(listener::draining));
    } else if (reason == ExitReason.KILLED) {
      exit = reason;
    }
    wake.run();
  }

  /**
   * After the soft stop cancels handlers, after the hard stop gives their jobs back. True: nothing
   * is left to do.
   */
  boolean press(long now, boolean connected) {
    if (holding.phase != Phase.LEAVING) {
      return false;
    }
    boolean killed = exit == ExitReason.KILLED;
    if (!stoppedRunning && (killed || now - (beganAt + grace) >= 0)) {
      stoppedRunning = true;
      holding.stop(holding.ledger.runningLeases(), StopReason.SHUTDOWN, now);
    }
    if (!givenBack && (killed || now - (beganAt + grace + stopGrace) >= 0)) {
      givenBack = true;
      givenBackAt = now;
      holding.abandon();
      wake.run();
    }
    if (!givenBack) {
      return !connected && holding.nothingLeft();
    }
    return holding.ledger.size() == 0
        || now - (givenBackAt + (killed ? CONFIRM_KILLED : CONFIRM)) >= 0;
  }
}

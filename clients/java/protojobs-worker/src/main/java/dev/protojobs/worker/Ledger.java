package dev.protojobs.worker;

import dev.protojobs.v1.LeaseRef;
import dev.protojobs.v1.LeasedJob;
import dev.protojobs.v1.ReleaseReason;
import dev.protojobs.worker.Lease.State;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What this session holds: every delivered job from its delivery to the server's answer about its
 * outcome, in the order of delivery. Pure: no clock, no threads, no wire. One thread owns it.
 *
 * <p>Keeps four promises: a handler begins only for a lease that still stands, in delivery order;
 * an outcome is sent on every stream until it is answered; an answered or lost outcome is never
 * sent again; {@link #begun} counts the jobs <em>of the current stream</em> that have begun or were
 * released unstarted ({@code LeaseRequest.started_seq}).
 */
final class Ledger {
  // A second refusal of the plain failure that replaced a malformed outcome means that nothing we
  // can say is accepted.
  private static final int MAX_REFUSALS = 2;

  private final Map<String, Lease> held = new LinkedHashMap<>();
  private final Deque<Lease> waiting = new ArrayDeque<>();
  private final List<Delayed> delayed = new ArrayList<>();
  private Deque<Lease> unsent = new ArrayDeque<>();
  private long streamNo;
  private long begun;
  private int running;
  private int waitingLive;

  private record Delayed(long due, Lease lease) {}

  /** Counts delivered jobs without a Settled. */
  int size() {
    return held.size();
  }

  /** Lists delivered jobs without a Settled. */
  Collection<Lease> leases() {
    return held.values();
  }

  /** Counts leases whose handler has not begun. */
  int waiting() {
    return waitingLive;
  }

  /** Counts handlers that run, also those whose lease is gone. */
  int running() {
    return running;
  }

  /** Counts outcomes that the current stream has not carried yet. */
  int unsent() {
    return unsent.size();
  }

  long begun() {
    return begun;
  }

  boolean isIdle() {
    return held.isEmpty() && running == 0;
  }

  /** Finds the lease of exactly this attempt; null if it is not held. */
  Lease get(String jobId, int attempt) {
    Lease lease = held.get(jobId);
    return lease != null && lease.attempt() == attempt ? lease : null;
  }

  List<Lease> runningLeases() {
    return held.values().stream().filter(lease -> lease.state == State.RUNNING).toList();
  }

  /**
   * Takes delivered jobs in order. Returns running leases that a newer attempt supersedes: stop
   * those.
   */
  List<Lease> deliver(List<LeasedJob> jobs) {
    List<Lease> superseded = new ArrayList<>();
    for (LeasedJob job : jobs) {
      Lease lease = new Lease(job, streamNo);
      // Also a repeated delivery takes its place in the order, or `begun` would count the wrong
      // jobs.
      waiting.add(lease);
      Lease old = held.get(lease.jobId());
      if (old != null) {
        if (old.attempt() >= lease.attempt()) {
          lease.state = State.GONE;
          continue;
        }
        if (forget(old)) {
          superseded.add(old);
        }
      }
      held.put(lease.jobId(), lease);
      waitingLive++;
    }
    return superseded;
  }

  /**
   * Moves up to {@code limit} waiting leases to running, in delivery order, and counts them as
   * begun.
   */
  List<Lease> begin(int limit, long now) {
    List<Lease> started = new ArrayList<>();
    while (!waiting.isEmpty() && started.size() < limit) {
      Lease lease = waiting.poll();
      if (lease.streamNo == streamNo) {
        begun++;
      }
      if (lease.state == State.WAITING) {
        lease.state = State.RUNNING;
        lease.begun = true;
        lease.begunAt = now;
        started.add(lease);
      }
    }
    running += started.size();
    waitingLive -= started.size();
    return started;
  }

  /**
   * Undoes {@link #begin} for leases whose frame never left; their handlers have not been called.
   * Only valid when the stream that should have carried the frame is lost: {@link #begun} is not
   * corrected.
   */
  void putBack(List<Lease> leases) {
    for (int index = leases.size() - 1; index >= 0; index--) {
      Lease lease = leases.get(index);
      running--;
      if (lease.state == State.RUNNING) {
        lease.state = State.WAITING;
        lease.begun = false;
        waiting.addFirst(lease);
        waitingLive++;
      }
    }
  }

  /**
   * Notes that a handler has ended. False: the lease is gone or was ended before, the outcome is
   * dropped.
   */
  boolean end(Lease lease, Outcome outcome) {
    running--;
    return conclude(lease, outcome);
  }

  /** Gives a running lease its outcome while its handler may still be running (a stuck one). */
  boolean conclude(Lease lease, Outcome outcome) {
    if (lease.state != State.RUNNING) {
      return false;
    }
    settle(lease, outcome);
    return true;
  }

  /** Gives everything back that has not begun. */
  void releaseWaiting(ReleaseReason reason) {
    for (Lease lease; (lease = waiting.poll()) != null; ) {
      if (lease.streamNo == streamNo) {
        begun++;
      }
      if (lease.state == State.WAITING) {
        waitingLive--;
        settle(lease, new Outcome.Released(reason));
      }
    }
  }

  /**
   * Forgets everything that has not begun: after Goodbye the server takes back what `begun` does
   * not count.
   */
  void dropWaiting() {
    for (Lease lease; (lease = waiting.poll()) != null; ) {
      if (lease.state == State.WAITING) {
        forget(lease);
      }
    }
  }

  /**
   * Stops one attempt. Waiting: it ends with {@code outcome} (null: is forgotten). Running:
   * returned, to be stopped.
   */
  Lease cancel(String jobId, int attempt, Outcome outcome) {
    Lease lease = get(jobId, attempt);
    if (lease == null) {
      return null;
    }
    State was = lease.state;
    if (outcome == null && was != State.ENDED) {
      forget(lease);
    } else if (outcome != null && was == State.WAITING) {
      // It keeps its place in the order; `begin` counts and skips it.
      waitingLive--;
      settle(lease, outcome);
    }
    return was == State.RUNNING ? lease : null;
  }

  /**
   * Takes outcomes for one frame: at most so many, and stops at so many bytes (but takes at least
   * one).
   */
  List<Lease> takeUnsent(int maxItems, int maxBytes) {
    List<Lease> taken = new ArrayList<>();
    long size = 0;
    while (!unsent.isEmpty() && taken.size() < maxItems && size < maxBytes) {
      Lease lease = unsent.peek();
      if (lease.state == State.ENDED) {
        long cost = Frames.cost(lease.outcome);
        if (!taken.isEmpty() && size + cost > maxBytes) {
          break;
        }
        size += cost;
        taken.add(lease);
      }
      unsent.poll();
    }
    return taken;
  }

  /** Forgets a lease whose outcome was answered for good: OK, ALREADY or LEASE_SUPERSEDED. */
  void settled(Lease lease) {
    if (held.get(lease.jobId()) == lease) {
      forget(lease);
    }
  }

  /** Sends the outcome again at {@code due}: the server could not store it. */
  void retryLater(Lease lease, long due) {
    if (lease.state == State.ENDED) {
      lease.tries++;
      delayed.add(new Delayed(due, lease));
    }
  }

  /**
   * Replaces a malformed outcome by a plain failure, so that the job is not stuck. False: given up.
   */
  boolean refuse(Lease lease, String message) {
    if (lease.state != State.ENDED) {
      return false;
    }
    lease.refusals++;
    if (lease.refusals > MAX_REFUSALS) {
      forget(lease);
      return false;
    }
    lease.outcome = new Outcome.Failed(Errors.of("INVALID_OUTCOME", message, ""), false);
    unsent.add(lease);
    return true;
  }

  /** Queues delayed outcomes that are due. */
  void revive(long now) {
    for (Iterator<Delayed> each = delayed.iterator(); each.hasNext(); ) {
      Delayed late = each.next();
      if (late.due - now <= 0) {
        each.remove();
        unsent.add(late.lease);
      }
    }
  }

  /**
   * Begins a new stream: nothing was delivered on it, and every unconfirmed outcome goes out on it
   * again.
   */
  void openStream(long number) {
    streamNo = number;
    begun = 0;
    delayed.clear();
    unsent = new ArrayDeque<>();
    held.values().stream().filter(lease -> lease.state == State.ENDED).forEach(unsent::add);
  }

  /**
   * Keeps what the server says this session still has. Returns running leases that it has not: stop
   * those.
   *
   * <p>Outcomes of lost leases stay: an answer may have been lost with the old stream, and Settled
   * decides.
   */
  List<Lease> resume(List<LeaseRef> kept) {
    Set<LeaseRef> stands = new HashSet<>(kept);
    List<Lease> lost = new ArrayList<>();
    for (Lease lease : List.copyOf(held.values())) {
      LeaseRef name =
          LeaseRef.newBuilder().setJobId(lease.jobId()).setAttempt(lease.attempt()).build();
      boolean standing = lease.streamNo == streamNo || stands.contains(name);
      if (!standing && lease.state != State.ENDED && forget(lease)) {
        lost.add(lease);
      }
    }
    return lost;
  }

  /** Forgets everything: the session is over. Returns running leases: stop those. */
  List<Lease> reset() {
    List<Lease> stopped = new ArrayList<>();
    for (Lease lease : List.copyOf(held.values())) {
      if (forget(lease)) {
        stopped.add(lease);
      }
    }
    waiting.clear();
    unsent.clear();
    delayed.clear();
    return stopped;
  }

  private void settle(Lease lease, Outcome outcome) {
    lease.state = State.ENDED;
    lease.outcome = outcome;
    unsent.add(lease);
  }

  /** Drops a lease. True: its handler is running and must be stopped. */
  private boolean forget(Lease lease) {
    State was = lease.state;
    lease.state = State.GONE;
    held.remove(lease.jobId(), lease);
    if (was == State.WAITING) {
      waitingLive--;
    }
    return was == State.RUNNING;
  }
}

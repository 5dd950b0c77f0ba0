package dev.protojobs.worker;

import dev.protojobs.v1.LeaseRequest;
import dev.protojobs.worker.Holding.Phase;
import java.time.Duration;
import java.util.List;

/**
 * What is said at once: collects what handlers reported, begins what there is room for, writes
 * frames for all of it, and hands the begun jobs to the executor once the first of them has left.
 */
final class Turn {
  private final LeaseStream stream;
  private final Holding holding;
  private final Duration deadline;
  private final Runnable usedUp;
  private List<Lease> begun = List.of();
  private long startedSeq;
  private boolean wrote;

  /** {@code deadline} is that of a Goodbye; {@code usedUp} hears that no job may begin any more. */
  Turn(LeaseStream stream, Holding holding, Duration deadline, Runnable usedUp) {
    this.stream = stream;
    this.holding = holding;
    this.deadline = deadline;
    this.usedUp = usedUp;
  }

  /** Takes the turn. True: something was said. */
  boolean take() {
    long now = System.nanoTime();
    holding.collect(now);
    begun = holding.begin(now);
    startedSeq = holding.ledger.begun();
    boolean hasBegun = !begun.isEmpty();
    try {
      say(now, hasBegun);
    } finally {
      holding.putBack(begun);
    }
    return wrote;
  }

  /** Says what there is to say. Nothing to say but something to acknowledge is a Ping. */
  private void say(long now, boolean hasBegun) {
    boolean open = true;
    for (LeaseRequest.Builder frame : holding.updates.take(now)) {
      open = open && write(frame);
    }
    while (open) {
      List<Lease> leases =
          holding.ledger.takeUnsent(Frames.MAX_SETTLES, holding.limits.maxFrameBytes());
      if (leases.isEmpty()) {
        break;
      }
      open = write(Frames.settle(leases));
    }
    if (!open) {
      return;
    }
    if (holding.phase == Phase.LEAVING) {
      if (!stream.goodbyeSent()) {
        stream.goodbye();
        open = write(Frames.goodbye(deadline));
      }
    } else if (holding.window() != holding.windowTold) {
      holding.windowTold = holding.window();
      open = write(Frames.window(holding.windowTold));
    }
    boolean owes = hasBegun || stream.owesReceipt(now) || stream.owesHeartbeat(holding.limits, now);
    if (open && !wrote && owes) {
      write(Frames.ping());
    }
  }

  private boolean write(LeaseRequest.Builder frame) {
    if (!stream.write(frame, startedSeq)) {
      return false;
    }
    wrote = true;
    if (!begun.isEmpty()) {
      List<Lease> covered = begun;
      begun = List.of();
      holding.start(covered);
      if (holding.usedUp()) {
        usedUp.run();
      }
    }
    return true;
  }
}

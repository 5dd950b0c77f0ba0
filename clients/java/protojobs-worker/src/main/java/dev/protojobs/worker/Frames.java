package dev.protojobs.worker;

import dev.protojobs.client.Times;
import dev.protojobs.client.Version;
import dev.protojobs.v1.CompletedGroup;
import dev.protojobs.v1.Goodbye;
import dev.protojobs.v1.GoodbyeMode;
import dev.protojobs.v1.HeldLease;
import dev.protojobs.v1.Hello;
import dev.protojobs.v1.LeaseRequest;
import dev.protojobs.v1.Ping;
import dev.protojobs.v1.QueueOrder;
import dev.protojobs.v1.QueueSubscription;
import dev.protojobs.v1.Settle;
import dev.protojobs.v1.SettleItem;
import dev.protojobs.v1.Window;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Frames of the Lease stream from plain values. */
final class Frames {
  static final int MAX_SETTLES = 10_000;
  static final int MAX_UPDATES = 1_000;
  static final Duration LONGEST_DELAY = Duration.ofDays(365);

  // An item of the short form is an id; of the long form an id, an attempt and what follows.
  private static final int SHORT_COST = 40;
  private static final int LONG_COST = SHORT_COST + 64;

  private static final int MAX_NAME_BYTES = 128;

  private Frames() {}

  /** Builds the first frame of a stream. */
  static LeaseRequest.Builder hello(
      WorkerOptions options, List<String> kinds, Identity identity, Holding holding, long now) {
    Hello.Builder hello =
        Hello.newBuilder()
            .setSessionId(identity.id())
            .setWorker(Errors.cut(options.name(), MAX_NAME_BYTES))
            .setSdk("protojobs-java")
            .setSdkVersion(Version.current())
            .setQueueOrder(
                options.strict() ? QueueOrder.QUEUE_ORDER_STRICT : QueueOrder.QUEUE_ORDER_WEIGHTED)
            .addAllKinds(kinds)
            .setWindow(Window.newBuilder().setMaxInFlight(holding.windowTold))
            .setSlots(holding.slots())
            .setStreamNo(identity.streamNo());
    options
        .queues()
        .forEach(
            (name, weight) ->
                hello.addQueues(QueueSubscription.newBuilder().setName(name).setWeight(weight)));
    holding.ledger.leases().forEach(lease -> hello.addHeld(held(lease, now)));
    if (options.sessionTtl() != null) {
      hello.setSessionTtl(Times.write(options.sessionTtl()));
    }
    return LeaseRequest.newBuilder().setHello(hello);
  }

  /** Builds a frame of outcomes; completions without a result take the short form. */
  static LeaseRequest.Builder settle(List<Lease> leases) {
    Settle.Builder settle = Settle.newBuilder();
    Map<Integer, CompletedGroup.Builder> completed = new HashMap<>();
    for (Lease lease : leases) {
      if (lease.outcome == Outcome.COMPLETED) {
        completed
            .computeIfAbsent(
                lease.attempt(), attempt -> CompletedGroup.newBuilder().setAttempt(attempt))
            .addJobIds(lease.jobId());
      } else {
        settle.addItems(item(lease));
      }
    }
    completed.values().forEach(settle::addCompleted);
    return LeaseRequest.newBuilder().setSettle(settle);
  }

  private static SettleItem.Builder item(Lease lease) {
    SettleItem.Builder item =
        SettleItem.newBuilder().setJobId(lease.jobId()).setAttempt(lease.attempt());
    Outcome outcome = lease.outcome;
    if (outcome instanceof Outcome.Completed completed) {
      item.getCompleteBuilder().addAllDispatch(completed.dispatch());
      if (completed.result() != null) {
        item.getCompleteBuilder().setResult(completed.result());
      }
    } else if (outcome instanceof Outcome.Failed failed) {
      item.getFailBuilder().setError(failed.error());
      if (!failed.retryable()) {
        item.getFailBuilder().setRetryable(false);
      }
      if (failed.retryAfter() != null) {
        item.getFailBuilder().setRetryAfter(delay(failed.retryAfter()));
      }
      if (failed.checkpoint() != null) {
        item.getFailBuilder().setCheckpoint(failed.checkpoint());
      }
    } else if (outcome instanceof Outcome.Snoozed snoozed) {
      item.getSnoozeBuilder().setDelay(delay(snoozed.delay()));
    } else if (outcome instanceof Outcome.Released released) {
      item.getReleaseBuilder().setReason(released.reason());
    } else {
      item.getCancelledBuilder();
    }
    return item;
  }

  private static com.google.protobuf.Duration delay(Duration delay) {
    Duration bounded = delay.isNegative() ? Duration.ZERO : delay;
    return Times.write(bounded.compareTo(LONGEST_DELAY) < 0 ? bounded : LONGEST_DELAY);
  }

  /** Says how many bytes an outcome takes at most. */
  static long cost(Outcome outcome) {
    if (outcome == Outcome.COMPLETED) {
      return SHORT_COST;
    }
    if (outcome instanceof Outcome.Failed failed) {
      int checkpoint = failed.checkpoint() == null ? 0 : failed.checkpoint().size();
      return LONG_COST + failed.error().getSerializedSize() + (long) checkpoint;
    }
    if (outcome instanceof Outcome.Completed completed) {
      long size = completed.result() == null ? 0 : completed.result().size();
      return LONG_COST
          + size
          + completed.dispatch().stream().mapToLong(spec -> spec.getSerializedSize() + 8L).sum();
    }
    return LONG_COST;
  }

  private static HeldLease held(Lease lease, long now) {
    HeldLease.Builder line =
        HeldLease.newBuilder()
            .setJobId(lease.jobId())
            .setAttempt(lease.attempt())
            .setStarted(lease.begun);
    if (lease.begun) {
      line.setElapsed(Times.write(Duration.ofNanos(Math.max(0, now - lease.begunAt))));
    }
    return line.build();
  }

  static LeaseRequest.Builder window(int maxInFlight) {
    return LeaseRequest.newBuilder().setWindow(Window.newBuilder().setMaxInFlight(maxInFlight));
  }

  static LeaseRequest.Builder goodbye(Duration deadline) {
    return LeaseRequest.newBuilder()
        .setGoodbye(
            Goodbye.newBuilder()
                .setMode(GoodbyeMode.GOODBYE_MODE_FINISH)
                .setDeadline(Times.write(deadline)));
  }

  static LeaseRequest.Builder ping() {
    return LeaseRequest.newBuilder().setPing(Ping.getDefaultInstance());
  }
}

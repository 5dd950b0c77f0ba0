package dev.protojobs.worker;

import dev.protojobs.v1.Cancel;
import dev.protojobs.v1.CancelItem;
import dev.protojobs.v1.JobState;
import dev.protojobs.v1.ReleaseReason;
import dev.protojobs.v1.SettleCode;
import dev.protojobs.v1.Settled;
import dev.protojobs.v1.SettledGroup;
import dev.protojobs.v1.SettledItem;
import dev.protojobs.worker.Holding.Phase;
import dev.protojobs.worker.Lease.State;
import java.util.List;
import java.util.function.LongSupplier;
import java.util.random.RandomGenerator;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What the server says about jobs that this worker has. Forgets what is settled, sends again what
 * was not stored, stops what must not go on.
 */
final class Answers {
  private static final Logger LOG = LoggerFactory.getLogger(Answers.class);

  /** Runs something on the session's thread, later. */
  interface Later {
    void run(long nanos, Runnable action);
  }

  private final Holding holding;
  private final Executor executor;
  private final List<WorkerListener> listeners;
  private final Runnable wake;
  private final Later later;
  private final RandomGenerator random;
  private final LongSupplier clock;

  Answers(
      Holding holding,
      Executor executor,
      List<WorkerListener> listeners,
      Runnable wake,
      Later later,
      RandomGenerator random,
      LongSupplier clock) {
    this.holding = holding;
    this.executor = executor;
    this.listeners = listeners;
    this.wake = wake;
    this.later = later;
    this.random = random;
    this.clock = clock;
  }

  /** Notes what became of outcomes and updates. */
  void settled(Settled settled) {
    for (SettledGroup group : settled.getGroupsList()) {
      SettledItem.Builder item =
          SettledItem.newBuilder()
              .setAttempt(group.getAttempt())
              .setCode(group.getCode())
              .setNextState(group.getNextState());
      group.getJobIdsList().forEach(jobId -> outcome(item.setJobId(jobId)));
    }
    settled.getItemsList().forEach(item -> outcome(item.toBuilder()));
    settled.getUpdatesList().forEach(this::update);
    if (holding.phase == Phase.LEAVING || holding.ledger.unsent() > 0) {
      wake.run();
    }
  }

  private void outcome(SettledItem.Builder item) {
    Lease lease = holding.ledger.get(item.getJobId(), item.getAttempt());
    if (lease == null || lease.state != State.ENDED) {
      return;
    }
    switch (item.getCode()) {
      case SETTLE_CODE_RETRY_LATER -> {
        long wait = Pacing.settleAgain(lease.tries, random);
        holding.ledger.retryLater(lease, clock.getAsLong() + wait);
        later.run(wait, this::revive);
      }
      case SETTLE_CODE_INVALID -> {
        LOG.error("outcome of job {} is refused: {}", item.getJobId(), item.getMessage());
        if (!holding.ledger.refuse(lease, item.getMessage())) {
          LOG.error("outcome of job {} is given up", item.getJobId());
        }
      }
      case SETTLE_CODE_OK, SETTLE_CODE_ALREADY -> {
        holding.ledger.settled(lease);
        stored(lease, item.getNextState());
      }
      default -> {
        holding.ledger.settled(lease);
        LOG.info(
            "outcome of job {}, attempt {}, is superseded", item.getJobId(), item.getAttempt());
      }
    }
    String jobId = item.getJobId();
    SettleCode code = item.getCode();
    JobState next = item.getNextState();
    for (WorkerListener listener : listeners) {
      Execution.tell(() -> listener.settled(jobId, lease.attempt(), code, next));
    }
  }

  private void stored(Lease lease, JobState next) {
    if (lease.run == null || !(lease.outcome instanceof Outcome.Failed failed)) {
      return;
    }
    boolean isFinal = next == JobState.JOB_STATE_FAILED;
    if (isFinal) {
      executor.failed(lease.run, failed.error());
    }
    for (WorkerListener listener : listeners) {
      Execution.tell(() -> listener.failed(lease.run.context, failed.error(), isFinal));
    }
  }

  private void revive() {
    holding.ledger.revive(clock.getAsLong());
    wake.run();
  }

  private void update(SettledItem item) {
    Lease lease = holding.ledger.get(item.getJobId(), item.getAttempt());
    Attempt attempt = lease == null ? null : lease.run;
    if (item.getCode() == SettleCode.SETTLE_CODE_RETRY_LATER) {
      if (attempt != null) {
        later.run(Pacing.updateAgain(random), () -> tellAgain(attempt));
      }
      return;
    }
    LOG.info(
        "update of job {} is refused: {} {}", item.getJobId(), item.getCode(), item.getMessage());
    if (attempt != null) {
      attempt.toldProgress = null;
      attempt.toldCheckpoint = null;
    }
  }

  private void tellAgain(Attempt attempt) {
    if (attempt.lease.state != State.GONE) {
      holding.updates.again(attempt);
      wake.run();
    }
  }

  /** Stops jobs, whether they run or wait. */
  void cancel(Cancel cancel) {
    for (CancelItem item : cancel.getItemsList()) {
      StopReason reason =
          switch (item.getReason()) {
            case CANCEL_REASON_LEASE_LOST -> StopReason.LEASE_LOST;
            case CANCEL_REASON_TIMEOUT -> StopReason.TIMEOUT;
            default -> StopReason.CANCELLED;
          };
      Outcome unstarted =
          switch (reason) {
            case LEASE_LOST -> null;
            case TIMEOUT -> new Outcome.Released(ReleaseReason.RELEASE_REASON_OVERLOAD);
            default -> new Outcome.Cancelled(false);
          };
      Lease lease = holding.ledger.cancel(item.getJobId(), item.getAttempt(), unstarted);
      if (lease != null) {
        holding.stop(List.of(lease), reason, clock.getAsLong());
      }
    }
    wake.run();
  }
}

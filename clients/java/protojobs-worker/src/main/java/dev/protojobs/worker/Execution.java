package dev.protojobs.worker;

import com.google.protobuf.ByteString;
import dev.protojobs.client.JobRequest;
import dev.protojobs.client.PayloadContext.Use;
import dev.protojobs.client.UndecodableException;
import dev.protojobs.v1.LeasedJob;
import java.nio.channels.ClosedByInterruptException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CancellationException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs an attempt on the thread that calls, and makes exactly one outcome of whatever its handler
 * does.
 */
final class Execution {
  private static final Logger LOG = LoggerFactory.getLogger(Execution.class);

  private final List<WorkerListener> listeners;

  Execution(List<WorkerListener> listeners) {
    this.listeners = listeners;
  }

  Outcome run(Attempt attempt) {
    if (!attempt.enter(System.nanoTime())) {
      return stopped(attempt);
    }
    try (Tracing.Span span = Tracing.enter(attempt)) {
      Outcome performed = perform(attempt);
      // Others may have the job by now: nothing that was returned counts.
      Outcome outcome =
          attempt.stopReason() == StopReason.LEASE_LOST ? stopped(attempt) : performed;
      span.ended(outcome);
      return outcome;
    } finally {
      attempt.leave();
    }
  }

  private Outcome perform(Attempt attempt) {
    try {
      for (WorkerListener listener : listeners) {
        tell(() -> listener.started(attempt.context));
      }
      return classify(attempt, attempt.handler.call(attempt.context, attempt.job()));
    } catch (Throwable error) { // whatever a handler throws ends its attempt, and nothing else
      return classifyError(attempt, error);
    }
  }

  /** Calls a listener, whose errors change nothing else. */
  static void tell(Runnable call) {
    try {
      call.run();
    } catch (RuntimeException | Error error) {
      LOG.error("a listener failed", error);
    }
  }

  /** Turns what a handler returned into an outcome. */
  private static Outcome classify(Attempt attempt, Object value) {
    if (value == null && attempt.children().isEmpty()) {
      return Outcome.COMPLETED;
    }
    if (!(value instanceof Verdict verdict)) {
      return completed(attempt, value);
    }
    if (verdict instanceof Verdict.Complete complete) {
      try {
        for (JobRequest job : complete.dispatch()) {
          attempt.addChild(job);
        }
      } catch (IllegalArgumentException error) {
        return new Outcome.Failed(Errors.of(error), false);
      }
      return completed(attempt, complete.result());
    }
    if (verdict instanceof Verdict.RetryAfter retry) {
      return new Outcome.Failed(
          Errors.of("RetryAfter", retry.reason(), ""), true, retry.after(), null, false);
    }
    if (verdict instanceof Verdict.Snooze snooze) {
      return new Outcome.Snoozed(snooze.delay());
    }
    if (verdict instanceof Verdict.Discard discard) {
      return new Outcome.Failed(
          Errors.of("Discard", discard.reason(), ""), false, null, null, true);
    }
    LOG.info("job {} is cancelled by its handler", attempt.lease.jobId());
    return new Outcome.Cancelled(true);
  }

  private static Outcome completed(Attempt attempt, Object value) {
    try {
      ByteString result = value == null ? null : result(attempt, value);
      return new Outcome.Completed(result, attempt.children());
    } catch (IllegalArgumentException error) {
      // The work is done and a retry would do it again: the same value would come back.
      return new Outcome.Failed(Errors.of(error), false);
    }
  }

  private static ByteString result(Attempt attempt, Object value) {
    LeasedJob job = attempt.job();
    ByteString plain;
    if (value instanceof byte[] bytes) {
      plain = ByteString.copyFrom(bytes);
    } else if (value instanceof ByteString bytes) {
      plain = bytes;
    } else {
      plain = attempt.handler.mapper().write(value);
    }
    return attempt.handler.seal(job, plain, Use.RESULT);
  }

  /** Turns what a handler threw into an outcome. */
  private static Outcome classifyError(Attempt attempt, Throwable error) {
    if (attempt.stopReason() != null && isStop(error)) {
      return stopped(attempt);
    }
    for (Throwable each = error; each != null; each = each.getCause()) {
      if (each instanceof UndecodableException undecodable) {
        return new Outcome.Failed(Errors.of(undecodable), false);
      }
    }
    boolean retryable = !(error instanceof NonRetryableException) && mayRetry(attempt, error);
    return new Outcome.Failed(Errors.of(error), retryable);
  }

  private static boolean isStop(Throwable error) {
    for (Throwable each = error; each != null; each = each.getCause()) {
      if (each instanceof InterruptedException
          || each instanceof JobStoppedException
          || each instanceof ClosedByInterruptException
          || each instanceof CancellationException) {
        return true;
      }
    }
    return false;
  }

  /** Says how an attempt ends whose handler stopped because it was asked to. */
  private static Outcome stopped(Attempt attempt) {
    return switch (attempt.stopReason()) {
      case TIMEOUT -> timedOut(attempt);
      case CANCELLED -> new Outcome.Cancelled(false);
      // After a lost lease the server refuses this, unless it was an outage in which nothing
      // expired.
      case LEASE_LOST, SHUTDOWN -> Outcome.shutdown();
    };
  }

  static Outcome.Failed timedOut(Attempt attempt) {
    return new Outcome.Failed(Errors.timedOut(Duration.ofNanos(attempt.runTimeout)), true);
  }

  private static boolean mayRetry(Attempt attempt, Throwable error) {
    try {
      return attempt.handler.options().shouldRetry().test(error);
    } catch (RuntimeException failed) {
      LOG.error("shouldRetry failed for job {}", attempt.lease.jobId(), failed);
      return true;
    }
  }
}

package dev.protojobs.worker;

import com.google.protobuf.ByteString;
import dev.protojobs.v1.JobError;
import dev.protojobs.v1.JobSpec;
import dev.protojobs.v1.ReleaseReason;
import java.time.Duration;
import java.util.List;

/** What the worker tells the server of an attempt: one per branch of {@code SettleItem.outcome}. */
sealed interface Outcome {
  /** Most handlers return nothing: one shared value, recognised by identity on the hot path. */
  Completed COMPLETED = new Completed(null, List.of());

  /**
   * {@code result} null: nothing to keep. {@code dispatch}: jobs to store in the same transaction.
   */
  record Completed(ByteString result, List<JobSpec> dispatch) implements Outcome {}

  /** {@code retryAfter} null: the policy decides. {@code checkpoint} null keeps what is stored. */
  record Failed(
      JobError error,
      boolean retryable,
      Duration retryAfter,
      ByteString checkpoint,
      boolean discarded)
      implements Outcome {
    Failed(JobError error, boolean retryable) {
      this(error, retryable, null, null, false);
    }

    Failed with(ByteString latest) {
      return new Failed(error, retryable, retryAfter, latest, discarded);
    }
  }

  record Snoozed(Duration delay) implements Outcome {}

  record Released(ReleaseReason reason) implements Outcome {}

  /** {@code asked}: the handler itself asked for the end of its job. */
  record Cancelled(boolean asked) implements Outcome {}

  static Released shutdown() {
    return new Released(ReleaseReason.RELEASE_REASON_SHUTDOWN);
  }
}

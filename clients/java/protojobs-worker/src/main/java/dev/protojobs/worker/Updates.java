package dev.protojobs.worker;

import com.google.protobuf.ByteString;
import dev.protojobs.v1.LeaseRequest;
import dev.protojobs.v1.Progress;
import dev.protojobs.v1.Update;
import dev.protojobs.v1.UpdateItem;
import dev.protojobs.worker.Lease.State;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * Progress and checkpoints on their way: at most one a second of each job, but the last before its
 * outcome.
 *
 * <p>Accepted updates are not answered. So what was told last stays with its attempt until
 * something newer replaces it, and is told again when the server says that it was not stored, or
 * when the stream that carried it is lost.
 */
final class Updates {
  private static final long PROGRESS_NANOS = Duration.ofSeconds(1).toNanos();

  private final Set<Attempt> fresh = new LinkedHashSet<>();
  private final Set<Attempt> again = new HashSet<>();

  boolean isEmpty() {
    return fresh.isEmpty();
  }

  void add(Attempt attempt) {
    fresh.add(attempt);
  }

  /** Tells once more what was told last, unless there is something newer. */
  void again(Attempt attempt) {
    if (attempt.toldProgress != null || attempt.toldCheckpoint != null) {
      again.add(attempt);
      fresh.add(attempt);
    }
  }

  /** Takes what may leave now, as frames. What comes too early stays. */
  List<LeaseRequest.Builder> take(long now) {
    List<LeaseRequest.Builder> frames = new ArrayList<>();
    Update.Builder batch = Update.newBuilder();
    long size = 0;
    for (Attempt attempt : List.copyOf(fresh)) {
      if (isEarly(attempt, now)) {
        continue;
      }
      fresh.remove(attempt);
      UpdateItem item = item(attempt, now);
      if (item == null) {
        continue;
      }
      batch.addItems(item);
      size += item.getSerializedSize();
      if (batch.getItemsCount() == Frames.MAX_UPDATES || size > Limits.FRAME_BYTES) {
        frames.add(LeaseRequest.newBuilder().setUpdate(batch));
        batch = Update.newBuilder();
        size = 0;
      }
    }
    if (batch.getItemsCount() > 0) {
      frames.add(LeaseRequest.newBuilder().setUpdate(batch));
    }
    return frames;
  }

  private UpdateItem item(Attempt attempt, long now) {
    Progress progress = attempt.progress.getAndSet(null);
    ByteString checkpoint = attempt.checkpoint.getAndSet(null);
    if (again.remove(attempt)) {
      progress = progress == null ? attempt.toldProgress : progress;
      checkpoint = checkpoint == null ? attempt.toldCheckpoint : checkpoint;
    }
    if (attempt.lease.state == State.GONE || (progress == null && checkpoint == null)) {
      return null;
    }
    attempt.progressSent = true;
    attempt.progressSentAt = now;
    UpdateItem.Builder item =
        UpdateItem.newBuilder().setJobId(attempt.lease.jobId()).setAttempt(attempt.lease.attempt());
    if (progress != null) {
      attempt.toldProgress = progress;
      item.setProgress(progress);
    }
    if (checkpoint != null) {
      attempt.toldCheckpoint = checkpoint;
      item.setCheckpoint(checkpoint);
    }
    return item.build();
  }

  private boolean isEarly(Attempt attempt, long now) {
    return attempt.checkpoint.get() == null
        && !again.contains(attempt)
        && attempt.lease.state == State.RUNNING
        && attempt.progressSent
        && now - attempt.progressSentAt < PROGRESS_NANOS;
  }
}

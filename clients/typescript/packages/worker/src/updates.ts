import type { Seconds } from "@protojobs/client/connecting";

import type { Attempt } from "./attempt.js";
import { MAX_UPDATES, type UpdateNews } from "./frames.js";

const PROGRESS_EVERY: Seconds = 1;
const FRAME_BYTES = 1024 * 1024;

/**
 * Progress and checkpoints on their way: at most one a second of each job, but the last before its outcome.
 *
 * Accepted updates are not answered. So what was told last stays with its attempt until something newer replaces it,
 * and is told again when the server says that it was not stored, or when the stream that carried it is lost.
 */
export class Updates {
  readonly #fresh = new Set<Attempt>();
  readonly #again = new Set<Attempt>();

  /** Attempts that have something to tell. */
  get size(): number {
    return this.#fresh.size;
  }

  /** Notes that an attempt has something to tell; it replaces what has not left. */
  add(attempt: Attempt): void {
    this.#fresh.add(attempt);
  }

  /** Tells once more what was told last, unless there is something newer. */
  again(attempt: Attempt): void {
    if (attempt.toldProgress === undefined && attempt.toldCheckpoint === undefined) return;
    this.#again.add(attempt);
    this.add(attempt);
  }

  /** Takes what may leave now, in batches of one frame. What comes too early stays. */
  *take(now: Seconds): Generator<UpdateNews[], void, undefined> {
    let batch: UpdateNews[] = [];
    let bytes = 0;
    for (const attempt of [...this.#fresh]) {
      if (this.#isEarly(attempt, now)) continue;
      this.#fresh.delete(attempt);
      const news = this.#news(attempt, now);
      if (news === undefined) continue;
      batch.push(news);
      bytes += news.checkpoint?.length ?? 0;
      if (batch.length === MAX_UPDATES || bytes > FRAME_BYTES) {
        yield batch;
        batch = [];
        bytes = 0;
      }
    }
    if (batch.length > 0) yield batch;
  }

  #news(attempt: Attempt, now: Seconds): UpdateNews | undefined {
    let { progress, checkpoint } = attempt;
    attempt.progress = attempt.checkpoint = undefined;
    if (this.#again.delete(attempt)) {
      progress ??= attempt.toldProgress;
      checkpoint ??= attempt.toldCheckpoint;
    }
    if (attempt.lease.state === "GONE" || (progress === undefined && checkpoint === undefined)) return undefined;
    attempt.progressSentAt = now;
    attempt.toldProgress = progress ?? attempt.toldProgress;
    attempt.toldCheckpoint = checkpoint ?? attempt.toldCheckpoint;
    return { lease: attempt.lease, progress, checkpoint };
  }

  #isEarly(attempt: Attempt, now: Seconds): boolean {
    return (
      attempt.checkpoint === undefined &&
      !this.#again.has(attempt) &&
      attempt.lease.state === "RUNNING" &&
      now < attempt.progressSentAt + PROGRESS_EVERY
    );
  }
}

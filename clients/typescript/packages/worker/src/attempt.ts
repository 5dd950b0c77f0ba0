import type { JobRequest, Seconds } from "@protojobs/client";
import { monotonic } from "@protojobs/client/connecting";

import { Children } from "./children.js";
import type { DeliveredJob } from "./delivered.js";
import type { Progress, WireLease } from "./frames.js";
import type { Handler } from "./registry.js";

const DEFAULT_RUN_TIMEOUT: Seconds = 300;

/** Why a handler is asked to stop. */
export type StopReason = "CANCELLED" | "TIMEOUT" | "LEASE_LOST" | "SHUTDOWN";

/** The reason of an aborted `JobContext.signal`: let it pass through, or throw it. */
export class JobStoppedError extends Error {
  readonly reason: StopReason;

  constructor(reason: StopReason) {
    super(`the job must stop: ${reason}`);
    // What `fetch`, timers and streams throw when their signal is aborted is named so, too.
    this.name = "AbortError";
    this.reason = reason;
  }
}

/** One run of one handler: the value that everything around it passes on. */
export class Attempt {
  readonly lease: WireLease;
  readonly handler: Handler;
  readonly beganAt: Seconds = monotonic();
  /** Longest run: the handler's own bound may only shorten the job's. */
  readonly runTimeout: Seconds;
  stopReason: StopReason | undefined = undefined;
  stoppedAt: Seconds = 0;
  /** It did not stop in time: its job has an outcome, its slot is stuck. */
  abandoned = false;
  progress: Progress | undefined = undefined;
  progressSentAt: Seconds = -Infinity;
  checkpoint: Uint8Array | undefined = undefined;
  /** What left last; nobody says whether it was stored. */
  toldProgress: Progress | undefined = undefined;
  toldCheckpoint: Uint8Array | undefined = undefined;
  children: Children | undefined = undefined;
  /** The trace that jobs of this one belong to. */
  trace: Readonly<Record<string, string>> = {};
  onUpdate: ((attempt: Attempt) => void) | undefined = undefined;
  #abort: AbortController | undefined;

  constructor(lease: WireLease, handler: Handler) {
    this.lease = lease;
    this.handler = handler;
    this.runTimeout = Math.min(lease.job.runTimeout || DEFAULT_RUN_TIMEOUT, handler.timeout);
  }

  /** The job as it was leased. */
  get job(): DeliveredJob {
    return this.lease.job;
  }

  /** Others may be running the job by now: nothing that its handler says counts. */
  get isLost(): boolean {
    return this.stopReason === "LEASE_LOST";
  }

  /** Aborted once the handler should stop. Made when it is first asked for: most handlers never look. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.stopReason !== undefined) this.#abort.abort(new JobStoppedError(this.stopReason));
    }
    return this.#abort.signal;
  }

  /** Asks the handler to stop. The first reason stays. */
  stop(reason: StopReason, now: Seconds): void {
    if (this.stopReason !== undefined) return;
    this.stopReason = reason;
    this.stoppedAt = now;
    this.#abort?.abort(new JobStoppedError(reason));
  }

  /** Stores a job with the completion of this attempt. */
  addChild(request: JobRequest): void {
    this.children ??= new Children(this.handler.codec);
    this.children.add(request, this.trace);
  }

  /** Lets the session know that there is progress or a checkpoint to send. */
  tell(): void {
    this.onUpdate?.(this);
  }
}

import type { JobRequest, JobOptions, LogFields, Logger, Seconds } from "@protojobs/client";
import { monotonic } from "@protojobs/client/connecting";
import type { JobSpec } from "@protojobs/client/proto";

import { JobStoppedError, type Attempt, type StopReason } from "./attempt.js";
import { cut } from "./outcomes.js";
import { openCheckpoint, openPayload, seal } from "./registry.js";

const MAX_CHECKPOINT_BYTES = 64 * 1024;
const MAX_PROGRESS_BYTES = 1024;
const JSON_TYPE = "application/json";
const NO_PAIRS: Readonly<Record<string, string>> = {};

/** A running attempt, as its handler sees it. */
export class JobContext {
  readonly #attempt: Attempt;
  readonly #logger: Logger;

  constructor(attempt: Attempt, logger: Logger) {
    this.#attempt = attempt;
    this.#logger = logger;
  }

  /** Id of the job (UUIDv7): the same over all attempts, and so a good key to make effects idempotent. */
  get jobId(): string {
    return this.#attempt.lease.jobId;
  }

  /** Fencing number of this run: grows at every lease, also where nothing failed. */
  get attempt(): number {
    return this.#attempt.lease.attempt;
  }

  /** Which handler runs it. */
  get kind(): string {
    return this.#attempt.handler.kind;
  }

  /** Queue it came from. */
  get queue(): string {
    return this.spec?.queue ?? "";
  }

  /** Counted failures so far. */
  get failures(): number {
    return this.#attempt.job.message.failures;
  }

  /** Failures that are retried; one more ends the job as FAILED. */
  get maxRetries(): number {
    return this.#attempt.job.message.maxRetries;
  }

  /** A failure now ends the job as FAILED. */
  get isLastTry(): boolean {
    return this.failures >= this.maxRetries;
  }

  /** 1 to 9, higher first. */
  get priority(): number {
    return this.spec?.priority || 5;
  }

  /** Opaque pairs set by the producer, `traceparent` among them where it had a trace. */
  get headers(): Readonly<Record<string, string>> {
    return this.spec?.headers ?? NO_PAIRS;
  }

  /** Indexed pairs set by the producer. */
  get labels(): Readonly<Record<string, string>> {
    return this.spec?.labels ?? NO_PAIRS;
  }

  /** Everything that was dispatched, as the contract has it; the payload as it is stored. */
  get spec(): JobSpec | undefined {
    return this.#attempt.job.message.spec;
  }

  /** Payload as it was dispatched, without what a codec did to it. Throws UndecodableError if the codec cannot read it. */
  get payload(): Uint8Array {
    return openPayload(this.#attempt.job, this.#attempt.handler.codec).data;
  }

  /** What an earlier attempt saved last; undefined if nothing. Throws UndecodableError if the codec cannot read it. */
  get checkpoint(): Uint8Array | undefined {
    return openCheckpoint(this.#attempt.job, this.#attempt.handler.codec);
  }

  /**
   * Aborted once the handler should stop: give it to whatever takes a signal. Its reason is a JobStoppedError, which the
   * handler lets pass through.
   */
  get signal(): AbortSignal {
    return this.#attempt.signal;
  }

  /** Why the handler should stop; undefined while it may go on. */
  get stopReason(): StopReason | undefined {
    return this.#attempt.stopReason;
  }

  /** Seconds that the handler may still run; never negative. */
  get timeLeft(): Seconds {
    return Math.max(0, this.#attempt.beganAt + this.#attempt.runTimeout - monotonic());
  }

  /** A logger that names the job in every line. */
  get log(): Logger {
    const { jobId, kind, queue, attempt } = this;
    const named = (fields?: LogFields): LogFields => ({ jobId, kind, queue, attempt, ...fields });
    const logger = this.#logger;
    return {
      debug: (message, fields) => {
        logger.debug(message, named(fields));
      },
      info: (message, fields) => {
        logger.info(message, named(fields));
      },
      warn: (message, fields) => {
        logger.warn(message, named(fields));
      },
      error: (message, fields) => {
        logger.error(message, named(fields));
      },
    };
  }

  /** Throws JobStoppedError once the handler should stop. */
  throwIfStopped(): void {
    if (this.stopReason !== undefined) throw new JobStoppedError(this.stopReason);
  }

  /** Tells how far the job is, 0 to 1. Sent at most once a second; the last one always. `message` is cut to 1 KiB. */
  progress(ratio: number, message = ""): void {
    if (!(ratio >= 0 && ratio <= 1)) throw new RangeError("progress is between 0 and 1");
    this.#attempt.progress = { ratio, message: cut(message, MAX_PROGRESS_BYTES) };
    this.#attempt.tell();
  }

  /** Hands bytes to the next attempt, at most 64 KiB as a codec makes them. A later call replaces it. */
  saveCheckpoint(checkpoint: Uint8Array): void {
    const plain = { data: Uint8Array.from(checkpoint), contentType: JSON_TYPE };
    const stored = seal(this.#attempt.job, plain, this.#attempt.handler.codec, "checkpoint");
    if (stored.length > MAX_CHECKPOINT_BYTES) {
      throw new RangeError(`a checkpoint has at most ${String(MAX_CHECKPOINT_BYTES)} bytes`);
    }
    this.#attempt.checkpoint = stored;
    this.#attempt.tell();
  }

  /**
   * Stores a job in the transaction that completes this one; if the attempt ends otherwise, it is never stored. Unless
   * it has an id, one is made of this attempt.
   *
   * @throws RangeError above 1000 jobs or 2 MiB, TypeError for data that cannot be sent.
   */
  dispatch(kind: string, data?: unknown, options?: JobOptions): void;
  dispatch(request: JobRequest): void;
  dispatch(job: string | JobRequest, data?: unknown, options: JobOptions = {}): void {
    this.#attempt.addChild(typeof job === "string" ? { ...options, kind: job, data } : job);
  }
}

import type { Logger, Seconds } from "@protojobs/client";

import type { Attempt, StopReason } from "./attempt.js";
import type { DeliveredJob } from "./delivered.js";
import type { Executor } from "./executor.js";
import type { WireLease } from "./frames.js";
import { Ledger } from "./ledger.js";
import { limitsOf, type Limits } from "./limits.js";
import type { ResolvedWorkerOptions } from "./options.js";
import { CANCELLED, COMPLETED, released, timedOut, type Outcome } from "./outcomes.js";
import { Dryness, Prefetch } from "./pacing.js";
import { Updates } from "./updates.js";

const WAITED_TOO_LONG: Seconds = 5;
const ADAPT_EVERY: Seconds = 0.25;
// Slots that stand idle for a smaller share of the time cost less than an urgent job's wait behind what would fill them.
const STARVED = 0.1;

/** What the worker is about. QUIET: it takes no more jobs; LEAVING: it finishes, then ends. */
export type Phase = "WORKING" | "QUIET" | "LEAVING";

/**
 * The jobs that this worker has: how many it wants, which begin now, what their handlers said. `session.ts` says when,
 * `answers.ts` hears what the server makes of it.
 */
export class Holding {
  readonly ledger = new Ledger<DeliveredJob, Attempt>();
  readonly updates = new Updates();
  limits: Limits = limitsOf(undefined);
  phase: Phase = "WORKING";
  /** Handlers that have ended. */
  ended = 0;
  /** Slots held by handlers that do not stop. */
  stuck = 0;
  lastBusy: Seconds;
  readonly #options: ResolvedWorkerOptions;
  readonly #executor: Executor;
  readonly #logger: Logger;
  readonly #wake: () => void;
  readonly #clock: () => Seconds;
  readonly #stuckJobs = new Set<string>();
  readonly #prefetch: Prefetch;
  #started = 0;
  #adaptedAt: Seconds;
  #endedBefore = 0;
  readonly #dryness = new Dryness();

  /** @param wake Asks for a turn: there is something to begin or to say. */
  constructor(
    options: ResolvedWorkerOptions,
    executor: Executor,
    logger: Logger,
    wake: () => void,
    clock: () => Seconds,
  ) {
    this.#options = options;
    this.#executor = executor;
    this.#logger = logger;
    this.#wake = wake;
    this.#clock = clock;
    this.#prefetch = new Prefetch(options.concurrency);
    this.lastBusy = this.#adaptedAt = clock();
  }

  /** How many handlers can run at once. */
  get slots(): number {
    return Math.max(1, this.#options.concurrency - this.stuck);
  }

  /** `maxJobs` have begun. */
  get usedUp(): boolean {
    return this.#started >= this.#options.maxJobs;
  }

  /** Everything is settled and nothing runs that could still be. */
  get nothingLeft(): boolean {
    return this.ledger.size === 0 && this.ledger.running <= this.stuck;
  }

  /** How many jobs may be delivered and not settled. */
  window(): number {
    if (this.phase !== "WORKING") return 0;
    let wanted = this.#options.window ?? this.#options.concurrency + this.#prefetch.jobs;
    if (this.#options.maxJobs !== Infinity) {
      // What has begun stays in flight until it is settled; beyond it only what may still begin.
      const toBegin = Math.max(0, this.#options.maxJobs - this.#started);
      wanted = Math.min(wanted, this.ledger.size - this.ledger.waiting + toBegin);
    }
    return Math.max(0, Math.min(wanted - this.stuck, this.limits.maxInFlight));
  }

  /** Takes delivered jobs. */
  deliver(jobs: readonly DeliveredJob[]): void {
    this.lastBusy = this.#clock();
    this.#dryness.refilled(this.lastBusy);
    const superseded = this.ledger.deliver(jobs.map((job) => ({ jobId: job.jobId, attempt: job.attempt, job })));
    this.stop(superseded, "LEASE_LOST");
    if (this.phase === "LEAVING") this.ledger.dropWaiting();
    else if (this.phase === "QUIET") this.ledger.releaseWaiting("SHUTDOWN");
    if (this.ledger.running < this.#options.concurrency || this.phase !== "WORKING") this.#wake();
  }

  /** Begins what there is room for. The frame that covers it must leave before `start`; else `putBack`. */
  begin(): WireLease[] {
    if (this.phase !== "WORKING" || this.ledger.waiting === 0) return [];
    const room = Math.min(this.#options.concurrency - this.ledger.running, this.#options.maxJobs - this.#started);
    if (room <= 0) return [];
    const begun = this.ledger.begin(room, this.#clock());
    this.#started += begun.length;
    return begun;
  }

  /** Undoes `begin`: the stream was lost before the frame had left. */
  putBack(begun: readonly WireLease[]): void {
    this.#started -= begun.length;
    this.ledger.putBack(begun);
    // The worker was told to leave meanwhile: Hello names them no more, so they go back.
    if (this.phase === "LEAVING") this.ledger.dropWaiting();
  }

  /** Runs the handlers of what has begun. */
  start(begun: readonly WireLease[]): void {
    const free = begun.filter((lease) => !this.#stuckJobs.has(lease.jobId));
    for (const lease of begun) {
      if (this.#stuckJobs.has(lease.jobId)) this.ledger.end(lease, released("OVERLOAD"));
    }
    // What was lost while its frame was on the way must not begin.
    const standing = free.filter((lease) => lease.state === "RUNNING");
    this.ledger.running -= free.length - standing.length;
    for (const lease of this.#executor.start(standing)) {
      this.#logger.warn("no handler for kind", { jobId: lease.jobId, kind: lease.job.kind });
      this.ledger.end(lease, released("UNKNOWN_KIND"));
    }
    this.#wake();
  }

  /** Notes what handlers reported. */
  collect(): void {
    const reports = this.#executor.collect();
    for (const { attempt, outcome } of reports) {
      if (attempt.abandoned) {
        this.stuck -= 1;
        this.#stuckJobs.delete(attempt.lease.jobId);
      }
      this.ledger.end(attempt.lease, this.#complete(attempt, outcome));
    }
    for (const attempt of this.#executor.collectUpdated()) this.updates.add(attempt);
    if (reports.length === 0) return;
    this.ended += reports.length;
    this.lastBusy = this.#clock();
    if (this.ledger.waiting === 0 && this.ledger.running < this.#options.concurrency) {
      this.#dryness.ranDry(this.lastBusy);
    }
  }

  /** Goes on with what the server says we still have; tells it again what it may not have stored. */
  resume(kept: Iterable<{ readonly jobId: string; readonly attempt: number }>): void {
    this.stop(this.ledger.resume(kept), "LEASE_LOST");
    for (const { run, outcome } of this.ledger.leases()) {
      // A failure carries its checkpoint itself, and nothing follows the other ends.
      const final = outcome !== undefined && ["completed", "failed", "cancelled"].includes(outcome.kind);
      if (run !== undefined && !final) this.updates.again(run);
    }
  }

  /** Forgets everything: the session is over. */
  reset(): void {
    this.stop(this.ledger.reset(), "LEASE_LOST");
  }

  /** Asks handlers to stop. */
  stop(leases: Iterable<WireLease>, reason: StopReason): void {
    const now = this.#clock();
    for (const lease of leases) this.#executor.stop(lease, reason, now);
  }

  /** Enforces run timeouts; a handler that does not stop loses its slot and its job gets its outcome. */
  watch(now: Seconds): void {
    for (const attempt of this.#executor.watch(now)) {
      this.stuck += 1;
      this.#stuckJobs.add(attempt.lease.jobId);
      const cancelled = attempt.stopReason === "CANCELLED";
      this.ledger.conclude(
        attempt.lease,
        cancelled ? CANCELLED : this.#complete(attempt, timedOut(attempt.runTimeout)),
      );
      this.#wake();
    }
  }

  /** Learns how much to ask for ahead. true: it has looked; it does so four times a second at most. */
  adapt(now: Seconds): boolean {
    const seconds = now - this.#adaptedAt;
    if (this.phase !== "WORKING" || this.#options.window !== undefined || seconds < ADAPT_EVERY) return false;
    const ended = this.ended - this.#endedBefore;
    this.#endedBefore = this.ended;
    // Where the window is mostly full, more is there than we had asked for: what stood idle needed not to.
    const starved = this.#dryness.take(now) > STARVED * seconds && 2 * this.ledger.size >= this.window();
    this.#prefetch.observe({ ended, running: this.ledger.running, seconds, starved });
    this.#adaptedAt = now;
    if (this.ledger.waiting > 0 && now > this.lastBusy + WAITED_TOO_LONG) {
      // Every slot is held by a slow job: somebody else may have room for what waits here.
      this.ledger.releaseWaiting("OVERLOAD");
      this.#wake();
    }
    return true;
  }

  /** Drops a result that is too large; adds the last checkpoint to a failure. */
  #complete(attempt: Attempt, outcome: Outcome): Outcome {
    if (outcome === COMPLETED) return outcome;
    if (outcome.kind === "completed") {
      const limit = this.limits.maxResultBytes;
      if (outcome.result === undefined || outcome.result.length <= limit) return outcome;
      const { jobId } = attempt.lease;
      this.#logger.warn("result is too large and is dropped", { jobId, size: outcome.result.length, limit });
      // One byte too many is enough for the server to drop it, and to say so on the job.
      return { ...outcome, result: outcome.result.subarray(0, limit + 1) };
    }
    if (outcome.kind === "failed") {
      // An update may still be on its way, or lost; with the failure it cannot come too late.
      const checkpoint = attempt.checkpoint ?? attempt.toldCheckpoint;
      if (checkpoint === undefined || checkpoint.length > this.limits.maxCheckpointBytes) return outcome;
      attempt.checkpoint = attempt.toldCheckpoint = undefined;
      return { ...outcome, checkpoint };
    }
    return outcome;
  }
}

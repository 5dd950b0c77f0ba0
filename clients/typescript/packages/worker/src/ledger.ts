/*
 * What this session holds: every delivered job from its delivery to the server's answer about its outcome.
 *
 * Pure: no clock, no timers, no wire. The life of a lease:
 *
 *     WAITING ──begin──> RUNNING ──end──> ENDED ──settled──> gone
 *        └──────release / drop──────────────┘
 *     WAITING, RUNNING ──lost, superseded──> GONE (its outcome is dropped when its handler ends)
 */
import type { StopReason } from "./attempt.js";
import { COMPLETED, failedWith, released, type Outcome, type ReleaseReason } from "./outcomes.js";

// A second refusal of the plain failure that replaced a malformed outcome means that nothing we can say is accepted.
const MAX_INVALID = 2;
// An item of the short form is an id; of the long form an id, an attempt and what follows.
const ITEM_COST = 40;
const LONG_ITEM_COST = ITEM_COST + 64;

/** Where a lease stands in this process. */
export type LeaseState = "WAITING" | "RUNNING" | "ENDED" | "GONE";

/** One attempt of one job, held by this session. `Run` is whatever runs the handler; the ledger never looks at it. */
export class Lease<Job, Run> {
  readonly jobId: string;
  readonly attempt: number;
  readonly job: Job;
  readonly streamNo: number;
  state: LeaseState = "WAITING";
  outcome: Outcome | undefined = undefined;
  /** When its handler began, on the monotonic clock in seconds. */
  beganAt: number | undefined = undefined;
  run: Run | undefined = undefined;
  /** It was asked to stop before its handler was called. */
  stopFirst: StopReason | undefined = undefined;
  /** How often its outcome was not stored. */
  tries = 0;
  /** How often its outcome was refused. */
  invalid = 0;

  constructor(jobId: string, attempt: number, job: Job, streamNo: number) {
    this.jobId = jobId;
    this.attempt = attempt;
    this.job = job;
    this.streamNo = streamNo;
  }
}

/** A job as it was delivered. */
export interface Delivered<Job> {
  readonly jobId: string;
  readonly attempt: number;
  readonly job: Job;
}

/**
 * The leases of one session, in the order of delivery.
 *
 * Keeps four promises: a handler begins only for a lease that still stands, in delivery order; an outcome is sent on
 * every stream until it is answered; an answered or lost outcome is never sent again; `begun` counts the jobs of the
 * current stream that have begun or were released unstarted (`LeaseRequest.started_seq`).
 */
export class Ledger<Job, Run> {
  /** Jobs of the current stream that have begun. */
  begun = 0;
  /** Handlers that run, also of leases that are gone. */
  running = 0;
  /** Leases whose handler has not begun. */
  waiting = 0;
  #streamNo = 0;
  readonly #held = new Map<string, Lease<Job, Run>>();
  #line: Lease<Job, Run>[] = [];
  #lineHead = 0;
  #unsent: Lease<Job, Run>[] = [];
  #delayed: { readonly due: number; readonly lease: Lease<Job, Run> }[] = [];

  // ---- what there is -------------------------------------------------------------------------------

  /** Delivered jobs without a `Settled`. */
  get size(): number {
    return this.#held.size;
  }

  /** Outcomes that the current stream has not carried yet. */
  get unsent(): number {
    return this.#unsent.length;
  }

  /** Nothing is held and no handler is running. */
  get idle(): boolean {
    return this.#held.size === 0 && this.running === 0;
  }

  /** Everything delivered and not settled, for `Hello.held`. */
  leases(): IterableIterator<Lease<Job, Run>> {
    return this.#held.values();
  }

  /** Held leases whose handler is running. */
  runningLeases(): Lease<Job, Run>[] {
    return [...this.#held.values()].filter((lease) => lease.state === "RUNNING");
  }

  /** Finds the lease of exactly this attempt. */
  get(jobId: string, attempt: number): Lease<Job, Run> | undefined {
    const lease = this.#held.get(jobId);
    return lease?.attempt === attempt ? lease : undefined;
  }

  // ---- deliver, begin, end -------------------------------------------------------------------------

  /** Takes delivered jobs in order. Returns running leases that a newer attempt supersedes: stop those. */
  deliver(jobs: Iterable<Delivered<Job>>): Lease<Job, Run>[] {
    const superseded: Lease<Job, Run>[] = [];
    for (const { jobId, attempt, job } of jobs) {
      const lease = new Lease<Job, Run>(jobId, attempt, job, this.#streamNo);
      // Also a repeated delivery takes its place in the order, or `begun` would count the wrong jobs.
      this.#line.push(lease);
      const old = this.#held.get(jobId);
      if (old !== undefined) {
        if (old.attempt >= attempt) {
          lease.state = "GONE";
          continue;
        }
        if (this.#forget(old)) superseded.push(old);
      }
      this.#held.set(jobId, lease);
      this.waiting += 1;
    }
    return superseded;
  }

  /** Moves up to `limit` waiting leases to running, in delivery order, and counts them as begun. */
  begin(limit: number, now: number): Lease<Job, Run>[] {
    const started: Lease<Job, Run>[] = [];
    while (started.length < limit) {
      const lease = this.#next();
      if (lease === undefined) break;
      if (lease.state === "WAITING") {
        lease.state = "RUNNING";
        lease.beganAt = now;
        started.push(lease);
      }
    }
    this.running += started.length;
    this.waiting -= started.length;
    return started;
  }

  /**
   * Undoes `begin` for leases whose frame never left; their handlers have not been called. Only valid when the stream
   * that should have carried the frame is lost: `begun` is not corrected.
   */
  putBack(leases: readonly Lease<Job, Run>[]): void {
    this.running -= leases.length;
    const again = leases.filter((lease) => lease.state === "RUNNING");
    for (const lease of again) {
      lease.state = "WAITING";
      lease.beganAt = undefined;
    }
    this.waiting += again.length;
    this.#line = [...again, ...this.#line.slice(this.#lineHead)];
    this.#lineHead = 0;
  }

  /** Notes that a handler has ended. false: the lease is gone or was ended before, the outcome is dropped. */
  end(lease: Lease<Job, Run>, outcome: Outcome): boolean {
    this.running -= 1;
    return this.conclude(lease, outcome);
  }

  /** Gives a running lease its outcome while its handler may still be running (a stuck one). */
  conclude(lease: Lease<Job, Run>, outcome: Outcome): boolean {
    if (lease.state !== "RUNNING") return false;
    this.#conclude(lease, outcome);
    return true;
  }

  /** Gives everything back that has not begun. */
  releaseWaiting(reason: ReleaseReason): void {
    for (let lease = this.#next(); lease !== undefined; lease = this.#next()) {
      if (lease.state !== "WAITING") continue;
      this.waiting -= 1;
      this.#conclude(lease, released(reason));
    }
  }

  /** Forgets everything that has not begun: after Goodbye the server takes back what `begun` does not count. */
  dropWaiting(): void {
    const line = this.#line.slice(this.#lineHead);
    this.#line = [];
    this.#lineHead = 0;
    for (const lease of line) if (lease.state === "WAITING") this.#forget(lease);
  }

  /** Stops one attempt. Waiting: it ends with `outcome` (undefined: is forgotten). Running: returned, to be stopped. */
  cancel(jobId: string, attempt: number, outcome: Outcome | undefined): Lease<Job, Run> | undefined {
    const lease = this.get(jobId, attempt);
    if (lease === undefined) return undefined;
    const was = lease.state;
    if (outcome === undefined) {
      if (was !== "ENDED") this.#forget(lease);
    } else if (was === "WAITING") {
      // It keeps its place in the order; `begin` counts and skips it.
      this.waiting -= 1;
      this.#conclude(lease, outcome);
    }
    return was === "RUNNING" ? lease : undefined;
  }

  // ---- settle --------------------------------------------------------------------------------------

  /** Takes outcomes for one frame: at most so many, and stops at so many bytes (but takes at least one). */
  takeUnsent(maxItems: number, maxBytes: number): Lease<Job, Run>[] {
    const taken: Lease<Job, Run>[] = [];
    let bytes = 0;
    let seen = 0;
    for (const lease of this.#unsent) {
      if (taken.length === maxItems) break;
      if (lease.state === "ENDED" && lease.outcome !== undefined) {
        const cost = costOf(lease.outcome);
        if (taken.length > 0 && bytes + cost > maxBytes) break;
        bytes += cost;
        taken.push(lease);
      }
      seen += 1;
    }
    this.#unsent = this.#unsent.slice(seen);
    return taken;
  }

  /** Forgets a lease whose outcome was answered for good: OK, ALREADY or LEASE_SUPERSEDED. */
  settled(jobId: string, attempt: number): void {
    const lease = this.get(jobId, attempt);
    if (lease !== undefined) this.#forget(lease);
  }

  /** Sends the outcome again at `due`: the server could not store it. */
  retryLater(lease: Lease<Job, Run>, due: number): void {
    if (lease.state !== "ENDED") return;
    lease.tries += 1;
    this.#delayed.push({ due, lease });
  }

  /** Replaces a malformed outcome by a plain failure, so that the job is not stuck. false: given up. */
  refuse(lease: Lease<Job, Run>, message: string): boolean {
    if (lease.state !== "ENDED") return false;
    lease.invalid += 1;
    if (lease.invalid > MAX_INVALID) {
      this.#forget(lease);
      return false;
    }
    lease.outcome = failedWith("INVALID_OUTCOME", message, false);
    this.#unsent.push(lease);
    return true;
  }

  /** Queues delayed outcomes that are due. Tells whether there were any. */
  revive(now: number): boolean {
    const due = this.#delayed.filter((each) => each.due <= now);
    if (due.length === 0) return false;
    this.#delayed = this.#delayed.filter((each) => each.due > now);
    this.#unsent.push(...due.map(({ lease }) => lease));
    return true;
  }

  // ---- streams -------------------------------------------------------------------------------------

  /** Begins a new stream: nothing was delivered on it, and every unconfirmed outcome goes out on it again. */
  openStream(streamNo: number): void {
    this.#streamNo = streamNo;
    this.begun = 0;
    this.#delayed = [];
    this.#unsent = [...this.#held.values()].filter((lease) => lease.state === "ENDED");
  }

  /**
   * Keeps what the server says this session still has. Returns running leases that it has not: stop those. Outcomes of
   * lost leases stay: an answer may have been lost with the old stream, and `Settled` decides.
   */
  resume(kept: Iterable<{ readonly jobId: string; readonly attempt: number }>): Lease<Job, Run>[] {
    const stands = new Map([...kept].map(({ jobId, attempt }) => [jobId, attempt]));
    const lost: Lease<Job, Run>[] = [];
    for (const lease of [...this.#held.values()]) {
      if (lease.streamNo === this.#streamNo || stands.get(lease.jobId) === lease.attempt) continue;
      if (lease.state !== "ENDED" && this.#forget(lease)) lost.push(lease);
    }
    return lost;
  }

  /** Forgets everything: the session is over. Returns running leases: stop those. */
  reset(): Lease<Job, Run>[] {
    const running = [...this.#held.values()].filter((lease) => this.#forget(lease));
    this.#line = [];
    this.#lineHead = 0;
    this.#unsent = [];
    this.#delayed = [];
    return running;
  }

  // ---- inside --------------------------------------------------------------------------------------

  /** Takes the next one from the line, and counts it as begun if it came on the current stream. */
  #next(): Lease<Job, Run> | undefined {
    const lease = this.#line[this.#lineHead];
    if (lease === undefined) return undefined;
    this.#lineHead += 1;
    if (this.#lineHead === this.#line.length) {
      this.#line = [];
      this.#lineHead = 0;
    }
    if (lease.streamNo === this.#streamNo) this.begun += 1;
    return lease;
  }

  #conclude(lease: Lease<Job, Run>, outcome: Outcome): void {
    lease.state = "ENDED";
    lease.outcome = outcome;
    this.#unsent.push(lease);
  }

  /** Drops a lease. true: its handler is running and must be stopped. */
  #forget(lease: Lease<Job, Run>): boolean {
    const was = lease.state;
    lease.state = "GONE";
    if (this.#held.get(lease.jobId) === lease) this.#held.delete(lease.jobId);
    if (was === "WAITING") this.waiting -= 1;
    return was === "RUNNING";
  }
}

function costOf(outcome: Outcome): number {
  if (outcome === COMPLETED) return ITEM_COST;
  switch (outcome.kind) {
    case "failed": {
      const { type, message, stack } = outcome.error;
      return LONG_ITEM_COST + 3 * (type.length + message.length + stack.length) + (outcome.checkpoint?.length ?? 0);
    }
    case "completed":
      return LONG_ITEM_COST + (outcome.result?.length ?? 0) + outcome.dispatchBytes;
    default:
      return LONG_ITEM_COST;
  }
}

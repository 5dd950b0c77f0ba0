import type { Logger, Seconds } from "@protojobs/client";
import { monotonic } from "@protojobs/client/connecting";

import { Attempt, type StopReason } from "./attempt.js";
import { JobContext } from "./context.js";
import { classify, classifyError, stopped } from "./execution.js";
import type { WireLease } from "./frames.js";
import type { Hooks } from "./hooks.js";
import type { Failed, Outcome } from "./outcomes.js";
import type { Registry } from "./registry.js";
import type { Traced, Tracing } from "./tracing.js";

/** A handler that has ended, and how. */
export interface Report {
  readonly attempt: Attempt;
  readonly outcome: Outcome;
}

/** Runs handlers, watches over what runs, and calls `failed` hooks. What ends gathers in `reports` until it is collected. */
export class Executor {
  /** Asks for a turn of the session. */
  wake: () => void = () => undefined;
  readonly #registry: Registry;
  readonly #hooks: Hooks;
  readonly #tracing: () => Tracing | undefined;
  readonly #logger: Logger;
  readonly #stopGrace: Seconds;
  readonly #active = new Set<Attempt>();
  #reports: Report[] = [];
  #updated: Attempt[] = [];
  readonly #onUpdate = (attempt: Attempt): void => {
    this.#updated.push(attempt);
    this.wake();
  };

  constructor(
    registry: Registry,
    hooks: Hooks,
    tracing: () => Tracing | undefined,
    logger: Logger,
    stopGrace: Seconds,
  ) {
    this.#registry = registry;
    this.#hooks = hooks;
    this.#tracing = tracing;
    this.#logger = logger;
    this.#stopGrace = stopGrace;
  }

  /** Handlers have ended that were not collected. */
  get hasReports(): boolean {
    return this.#reports.length > 0;
  }

  /** Begins the handlers of leases whose frame has left, in order. Returns those whose kind has no handler. */
  start(leases: readonly WireLease[]): WireLease[] {
    const unknown: WireLease[] = [];
    const tracing = this.#activeTracing();
    for (const lease of leases) {
      const handler = this.#registry.get(lease.job.kind);
      if (handler === undefined) {
        unknown.push(lease);
        continue;
      }
      const attempt = new Attempt(lease, handler);
      lease.run = attempt;
      attempt.onUpdate = this.#onUpdate;
      if (lease.stopFirst !== undefined) attempt.stop(lease.stopFirst, monotonic());
      this.#run(attempt, tracing);
    }
    return unknown;
  }

  /** Takes what has ended since the last time. */
  collect(): Report[] {
    const reports = this.#reports;
    this.#reports = [];
    return reports;
  }

  /** Takes the attempts that have news since the last time. */
  collectUpdated(): Attempt[] {
    const updated = this.#updated;
    this.#updated = [];
    return updated;
  }

  /** Asks the handler of a lease to stop. */
  stop(lease: WireLease, reason: StopReason, now: Seconds): void {
    if (lease.run === undefined) lease.stopFirst ??= reason;
    else lease.run.stop(reason, now);
  }

  /** Stops what has passed its run timeout. Returns attempts that did not stop in time: their slots are stuck. */
  watch(now: Seconds): Attempt[] {
    const stuck: Attempt[] = [];
    for (const attempt of this.#active) {
      if (attempt.abandoned) continue;
      const deadline = attempt.beganAt + attempt.runTimeout;
      if (now >= deadline) attempt.stop("TIMEOUT", now);
      if (attempt.stopReason === undefined) continue;
      const patience = attempt.stopReason === "TIMEOUT" ? attempt.stoppedAt : deadline;
      if (now < Math.max(patience, attempt.stoppedAt) + this.#stopGrace) continue;
      attempt.abandoned = true;
      stuck.push(attempt);
      this.#hooks.emit("job.abandoned", { context: this.contextOf(attempt) });
      this.#logger.error("handler does not stop; its slot is stuck", {
        jobId: attempt.lease.jobId,
        kind: attempt.handler.kind,
      });
    }
    return stuck;
  }

  /** Runs `failed` of exactly this attempt if the job is FAILED, and tells `job.failed`. */
  failureStored(attempt: Attempt, outcome: Failed, final: boolean, nextTime: Date | undefined): void {
    const { failed } = attempt.handler;
    const context = this.contextOf(attempt);
    if (final && failed !== undefined) {
      const cause = outcome.cause ?? new Error(`${outcome.error.type}: ${outcome.error.message}`);
      this.#hooks.spawn("failed", () => failed(context, cause));
    }
    this.#hooks.emit("job.failed", { context, error: outcome.error, final, nextTime });
  }

  /** Returns what a handler or hook sees of an attempt. */
  contextOf(attempt: Attempt): JobContext {
    return new JobContext(attempt, this.#logger);
  }

  /** Looked up once for all that begin together: an SDK may come later than the worker. */
  #activeTracing(): Tracing | undefined {
    try {
      const tracing = this.#tracing();
      return tracing?.isIdle === true ? undefined : tracing;
    } catch (error) {
      this.#logger.warn("tracing failed", { error: error instanceof Error ? error.name : typeof error });
      return undefined;
    }
  }

  /** Runs a handler; one that returns no promise has ended with this, and costs none. */
  #run(attempt: Attempt, tracing: Tracing | undefined): void {
    if (attempt.stopReason !== undefined) {
      this.#finish(attempt, stopped(attempt));
      return;
    }
    const context = this.contextOf(attempt);
    const traced = tracing === undefined ? undefined : this.#beginSpan(attempt, tracing);
    if (this.#hooks.has("job.processing")) this.#hooks.emit("job.processing", { context });
    let outcome: Outcome;
    try {
      const value =
        traced === undefined
          ? attempt.handler.invoke(context, attempt)
          : traced.run(() => attempt.handler.invoke(context, attempt));
      if (isThenable(value)) {
        this.#active.add(attempt);
        void this.#wait(attempt, context, traced, value);
        return;
      }
      outcome = classify(attempt, value);
    } catch (error) {
      outcome = classifyError(attempt, error, this.#logger);
    }
    this.#end(attempt, context, traced, outcome);
  }

  async #wait(
    attempt: Attempt,
    context: JobContext,
    traced: Traced | undefined,
    value: PromiseLike<unknown>,
  ): Promise<void> {
    let outcome: Outcome;
    try {
      outcome = classify(attempt, await value);
    } catch (error) {
      outcome = classifyError(attempt, error, this.#logger);
    }
    this.#active.delete(attempt);
    this.#end(attempt, context, traced, outcome);
  }

  #end(attempt: Attempt, context: JobContext, traced: Traced | undefined, ended: Outcome): void {
    const outcome = attempt.isLost ? stopped(attempt) : ended;
    if (traced !== undefined) this.#endSpan(traced, outcome);
    if (this.#hooks.has("job.processed")) {
      this.#hooks.emit("job.processed", { context, outcome, seconds: monotonic() - attempt.beganAt });
    }
    this.#finish(attempt, outcome);
  }

  #finish(attempt: Attempt, outcome: Outcome): void {
    this.#reports.push({ attempt, outcome });
    this.wake();
  }

  /** Nor its outcome. */
  #endSpan(traced: Traced, outcome: Outcome): void {
    try {
      traced.ended(outcome);
    } catch (error) {
      this.#logger.warn("tracing failed", { error: error instanceof Error ? error.name : typeof error });
    }
  }

  /** Tracing must not cost a job its run. */
  #beginSpan(attempt: Attempt, tracing: Tracing): Traced | undefined {
    try {
      return tracing.begin(attempt);
    } catch (error) {
      this.#logger.warn("tracing failed", { error: error instanceof Error ? error.name : typeof error });
      return undefined;
    }
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

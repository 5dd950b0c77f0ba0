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
    for (const lease of leases) {
      const handler = this.#registry.get(lease.job.spec?.kind ?? "");
      if (handler === undefined) {
        unknown.push(lease);
        continue;
      }
      const attempt = new Attempt(lease, handler);
      lease.run = attempt;
      attempt.onUpdate = (told) => {
        this.#updated.push(told);
        this.wake();
      };
      if (lease.stopFirst !== undefined) attempt.stop(lease.stopFirst, monotonic());
      this.#active.add(attempt);
      void this.#run(attempt);
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

  async #run(attempt: Attempt): Promise<void> {
    if (attempt.stopReason !== undefined) {
      this.#finish(attempt, stopped(attempt));
      return;
    }
    const context = this.contextOf(attempt);
    const traced = this.#beginSpan(attempt);
    this.#hooks.emit("job.processing", { context });
    let outcome: Outcome;
    try {
      const call = (): unknown => attempt.handler.invoke(context, attempt);
      const value = traced === undefined ? call() : traced.run(call);
      outcome = classify(attempt, isThenable(value) ? await value : value);
    } catch (error) {
      outcome = classifyError(attempt, error, this.#logger);
    }
    if (attempt.isLost) outcome = stopped(attempt);
    this.#endSpan(traced, outcome);
    if (this.#hooks.has("job.processed")) {
      this.#hooks.emit("job.processed", { context, outcome, seconds: monotonic() - attempt.beganAt });
    }
    this.#finish(attempt, outcome);
  }

  #finish(attempt: Attempt, outcome: Outcome): void {
    this.#active.delete(attempt);
    this.#reports.push({ attempt, outcome });
    this.wake();
  }

  /** Nor its outcome. */
  #endSpan(traced: Traced | undefined, outcome: Outcome): void {
    try {
      traced?.ended(outcome);
    } catch (error) {
      this.#logger.warn("tracing failed", { error: error instanceof Error ? error.name : typeof error });
    }
  }

  /** Tracing must not cost a job its run. */
  #beginSpan(attempt: Attempt): Traced | undefined {
    try {
      return this.#tracing()?.begin(attempt);
    } catch (error) {
      this.#logger.warn("tracing failed", { error: error instanceof Error ? error.name : typeof error });
      return undefined;
    }
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

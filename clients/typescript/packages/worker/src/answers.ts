import type { Logger, Seconds } from "@protojobs/client";
import { dateOf } from "@protojobs/client/connecting";
import { CancelReason, JobState, SettleCode, type Cancel, type SettledItem } from "@protojobs/client/proto";

import type { Attempt, StopReason } from "./attempt.js";
import type { Executor } from "./executor.js";
import type { Holding } from "./holding.js";
import type { Hooks, SettleResult } from "./hooks.js";
import { CANCELLED, released, type Outcome } from "./outcomes.js";
import { settleAgainAfter, type Uniform } from "./pacing.js";
import type { WireLease } from "./frames.js";
import type { Settled } from "./settled.js";

// An update that the store did not take comes again after so many seconds.
const UPDATE_AGAIN = [0.5, 2] as const;

type SettledNews = Pick<SettledItem, "jobId" | "attempt" | "code" | "nextState" | "message"> &
  Partial<Pick<SettledItem, "nextTime">>;

/** What the server says about jobs that this worker has: forgets, sends again, stops. */
export class Answers {
  readonly #holding: Holding;
  readonly #executor: Executor;
  readonly #hooks: Hooks;
  readonly #logger: Logger;
  readonly #wake: () => void;
  readonly #uniform: Uniform;
  readonly #clock: () => Seconds;
  #updatesAgain: { readonly due: Seconds; readonly attempt: Attempt }[] = [];

  constructor(
    holding: Holding,
    executor: Executor,
    hooks: Hooks,
    logger: Logger,
    wake: () => void,
    uniform: Uniform,
    clock: () => Seconds,
  ) {
    this.#holding = holding;
    this.#executor = executor;
    this.#hooks = hooks;
    this.#logger = logger;
    this.#wake = wake;
    this.#uniform = uniform;
    this.#clock = clock;
  }

  /** Notes what became of outcomes and updates. */
  settled(settled: Settled): void {
    const { ledger } = this.#holding;
    for (const { jobIds, attempt, code, nextState } of settled.groups) {
      if (code === SettleCode.OK && nextState === JobState.COMPLETED && !this.#hooks.has("job.settled")) {
        for (const jobId of jobIds) ledger.settled(jobId, attempt);
      } else {
        for (const jobId of jobIds) this.#outcome({ jobId, attempt, code, nextState, message: "" });
      }
    }
    for (const item of settled.items) this.#outcome(item);
    for (const item of settled.updates) this.#update(item);
    if (this.#holding.phase === "LEAVING" || ledger.unsent > 0) this.#wake();
  }

  /** Stops jobs, whether they run or wait. */
  cancel({ items }: Cancel): void {
    const now = this.#clock();
    for (const { jobId, attempt, reason } of items) {
      const [stopReason, outcome] = meaningOf(reason);
      const lease = this.#holding.ledger.cancel(jobId, attempt, outcome);
      if (lease !== undefined) this.#executor.stop(lease, stopReason, now);
    }
    this.#wake();
  }

  /** Sends again what the server could not store, once its time has come. Called every tick. */
  tick(now: Seconds): void {
    let due = this.#holding.ledger.revive(now);
    for (const { attempt } of this.#updatesAgain.filter((each) => each.due <= now)) {
      if (attempt.lease.state === "GONE") continue;
      this.#holding.updates.again(attempt);
      due = true;
    }
    this.#updatesAgain = this.#updatesAgain.filter((each) => each.due > now);
    if (due) this.#wake();
  }

  #outcome(item: SettledNews): void {
    const { ledger } = this.#holding;
    const { jobId, attempt } = item;
    const lease = ledger.get(jobId, attempt);
    if (lease?.state !== "ENDED") return;
    switch (item.code) {
      case SettleCode.RETRY_LATER:
        ledger.retryLater(lease, this.#clock() + settleAgainAfter(lease.tries, this.#uniform));
        break;
      case SettleCode.INVALID:
        this.#logger.error("outcome refused", { jobId, why: item.message });
        if (!ledger.refuse(lease, item.message)) this.#logger.error("outcome given up", { jobId });
        break;
      case SettleCode.OK:
      case SettleCode.ALREADY:
        ledger.settled(jobId, attempt);
        this.#tell(lease, item.code === SettleCode.OK ? "OK" : "ALREADY");
        this.#stored(lease, item);
        break;
      default:
        ledger.settled(jobId, attempt);
        this.#tell(lease, "LEASE_SUPERSEDED");
        this.#logger.info("outcome superseded", { jobId, attempt });
    }
  }

  #tell({ jobId, attempt }: WireLease, code: SettleResult): void {
    this.#hooks.emit("job.settled", { jobId, attempt, code });
  }

  #stored({ run, outcome }: WireLease, { nextState, nextTime }: SettledNews): void {
    if (run === undefined || outcome?.kind !== "failed") return;
    this.#executor.failureStored(run, outcome, nextState === JobState.FAILED, dateOf(nextTime));
  }

  #update({ jobId, attempt, code, message }: SettledItem): void {
    const run = this.#holding.ledger.get(jobId, attempt)?.run;
    if (code === SettleCode.RETRY_LATER) {
      if (run !== undefined)
        this.#updatesAgain.push({ due: this.#clock() + this.#uniform(...UPDATE_AGAIN), attempt: run });
      return;
    }
    this.#logger.info("update refused", { jobId, code: SettleCode[code], why: message });
    if (run !== undefined) run.toldProgress = run.toldCheckpoint = undefined;
  }
}

/** What a Cancel means to a handler, and to a job whose handler has not begun. */
function meaningOf(reason: CancelReason): [StopReason, Outcome | undefined] {
  switch (reason) {
    case CancelReason.LEASE_LOST:
      return ["LEASE_LOST", undefined];
    case CancelReason.TIMEOUT:
      return ["TIMEOUT", released("OVERLOAD")];
    default:
      return ["CANCELLED", CANCELLED];
  }
}

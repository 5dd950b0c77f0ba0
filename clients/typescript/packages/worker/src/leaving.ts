import type { Logger, Seconds } from "@protojobs/client";

import type { Holding } from "./holding.js";
import type { Hooks } from "./hooks.js";
import type { ExitReason, ResolvedWorkerOptions } from "./options.js";
import { released } from "./outcomes.js";

const CONFIRM: Seconds = 5;
const CONFIRM_KILLED: Seconds = 0.5;

/** How a worker leaves: it finishes what runs, after a while asks it to stop, then gives it back. */
export class Leaving {
  exit: ExitReason | undefined = undefined;
  readonly #holding: Holding;
  readonly #hooks: Hooks;
  readonly #logger: Logger;
  readonly #wake: () => void;
  readonly #clock: () => Seconds;
  readonly #stopGrace: Seconds;
  #grace: Seconds;
  #beganAt: Seconds = 0;
  #stoppedRunning = false;
  #givenBackAt: Seconds | undefined;

  constructor(
    options: ResolvedWorkerOptions,
    holding: Holding,
    hooks: Hooks,
    logger: Logger,
    wake: () => void,
    clock: () => Seconds,
  ) {
    this.#holding = holding;
    this.#hooks = hooks;
    this.#logger = logger;
    this.#wake = wake;
    this.#clock = clock;
    this.#grace = options.grace;
    this.#stopGrace = options.stopGrace;
  }

  /** From the first request until everything goes back. */
  get deadline(): Seconds {
    return this.#grace + this.#stopGrace;
  }

  /** Takes no more jobs, and gives back what has not begun. */
  quiet(): void {
    if (this.#holding.phase !== "WORKING") return;
    this.#holding.phase = "QUIET";
    this.#holding.ledger.releaseWaiting("SHUTDOWN");
    this.#logger.info("quiet: taking no more jobs");
    this.#wake();
  }

  /** Finishes what runs, for `within` at most. A later call changes nothing, unless it says KILLED. */
  leave(reason: ExitReason, within?: Seconds): void {
    const holding = this.#holding;
    if (within !== undefined) this.#grace = Math.min(this.#grace, within);
    if (holding.phase !== "LEAVING") {
      holding.phase = "LEAVING";
      this.exit = reason;
      this.#beganAt = this.#clock();
      holding.ledger.dropWaiting();
      this.#logger.info("leaving", { reason, running: holding.ledger.running });
      this.#hooks.emit("worker.draining", { reason });
    } else if (reason === "KILLED") {
      this.exit = reason;
    }
    this.#wake();
  }

  /** After the soft stop stops handlers, after the hard stop gives their jobs back. true: nothing is left to do. */
  press(now: Seconds, connected: boolean): boolean {
    if (this.#holding.phase !== "LEAVING") return false;
    const { ledger } = this.#holding;
    const killed = this.exit === "KILLED";
    if (!this.#stoppedRunning && (killed || now >= this.#beganAt + this.#grace)) {
      this.#stoppedRunning = true;
      this.#holding.stop(ledger.runningLeases(), "SHUTDOWN");
    }
    if (this.#givenBackAt === undefined && (killed || now >= this.#beganAt + this.deadline)) {
      this.#givenBackAt = now;
      for (const lease of ledger.runningLeases()) ledger.conclude(lease, released("SHUTDOWN"));
      this.#wake();
    }
    if (this.#givenBackAt === undefined) return !connected && this.#holding.nothingLeft;
    return ledger.size === 0 || now >= this.#givenBackAt + (killed ? CONFIRM_KILLED : CONFIRM);
  }
}

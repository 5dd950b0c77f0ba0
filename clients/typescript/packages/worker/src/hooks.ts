import type { Logger, Seconds } from "@protojobs/client";

import type { JobContext } from "./context.js";
import type { ExitReason } from "./options.js";
import type { ErrorInfo, Outcome } from "./outcomes.js";

/** What a worker tells, by the name of the event. */
export interface WorkerEvents {
  /** The worker is about to open its first stream. */
  "worker.starting": { readonly worker: string; readonly queues: readonly string[] };
  /** A stream stands. `session` names the session without giving its secret away; `resumed`: it goes on with its leases. */
  "worker.ready": { readonly session: string; readonly resumed: boolean; readonly server: string };
  /** The worker takes no more jobs and will leave. */
  "worker.draining": { readonly reason: ExitReason };
  /** `maxMemory` is passed; the worker leaves. */
  "worker.memory_exceeded": { readonly worker: string; readonly memoryBytes: number };
  /** Everything is settled. */
  "worker.stopped": { readonly worker: string; readonly processed: number; readonly reason: ExitReason };
  /** A handler is about to begin. */
  "job.processing": { readonly context: JobContext };
  /** A handler has ended, however it ended. */
  "job.processed": { readonly context: JobContext; readonly outcome: Outcome; readonly seconds: Seconds };
  /** A handler did not stop in time: its job has an outcome without it, and its slot is stuck. */
  "job.abandoned": { readonly context: JobContext };
  /** The server has answered an outcome: OK, ALREADY or LEASE_SUPERSEDED (it was dropped). */
  "job.settled": { readonly jobId: string; readonly attempt: number; readonly code: SettleResult };
  /** A failed attempt was stored. `final`: the job is FAILED; else it runs again at `nextTime`. */
  "job.failed": {
    readonly context: JobContext;
    readonly error: ErrorInfo;
    readonly final: boolean;
    readonly nextTime: Date | undefined;
  };
}

/** What became of an outcome for good. */
export type SettleResult = "OK" | "ALREADY" | "LEASE_SUPERSEDED";

/** Name of an event. */
export type WorkerEventName = keyof WorkerEvents;

/** Called at every such event; what it throws is logged and changes nothing else. */
export type Hook<Name extends WorkerEventName> = (event: WorkerEvents[Name]) => unknown;

/** Functions by event name. */
export class Hooks {
  readonly #hooks = new Map<WorkerEventName, ((event: never) => unknown)[]>();
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Calls `hook` at every such event. */
  add<Name extends WorkerEventName>(name: Name, hook: Hook<Name>): void {
    this.#hooks.set(name, [...(this.#hooks.get(name) ?? []), hook]);
  }

  /** Tells whether anybody listens. */
  has(name: WorkerEventName): boolean {
    return this.#hooks.has(name);
  }

  /** Calls the hooks; those that return a promise go on by themselves. */
  emit<Name extends WorkerEventName>(name: Name, event: WorkerEvents[Name]): void {
    for (const hook of this.#hooks.get(name) ?? []) this.spawn(name, () => (hook as Hook<Name>)(event));
  }

  /** Calls a function of the user's whose errors are only logged. */
  spawn(name: string, work: () => unknown): void {
    const log = (error: unknown): void => {
      this.#logger.error("hook failed", { event: name, error: error instanceof Error ? error.name : typeof error });
    };
    try {
      Promise.resolve(work()).catch(log);
    } catch (error) {
      log(error);
    }
  }
}

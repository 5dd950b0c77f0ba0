import { hostname } from "node:os";

import type { ClientOptions, Seconds } from "@protojobs/client";

/** Largest window. */
export const MAX_WINDOW = 100_000;

/** Why a worker ended. */
export type ExitReason =
  /** SIGTERM, SIGINT or `stop()`: everything was finished or given back. */
  | "SIGNAL"
  /** An operator drained it. */
  | "DRAINED"
  /** untilEmpty. */
  | "EMPTY"
  /** maxJobs: recycled. */
  | "MAX_JOBS"
  /** maxLifetime: recycled. */
  | "MAX_LIFETIME"
  /** maxMemory: recycled. */
  | "MAX_MEMORY"
  /** Too many handlers do not stop: start it again. */
  | "STUCK"
  /** A second signal: running handlers were given back unfinished. */
  | "KILLED"
  /** The server refuses this configuration or these credentials: see the log. */
  | "REFUSED";

/** The exit code of a process whose worker ended so, as of every Proto Jobs worker (sysexits.h). */
export const EXIT_CODES: Readonly<Record<ExitReason, number>> = {
  SIGNAL: 0,
  DRAINED: 0,
  EMPTY: 0,
  MAX_JOBS: 0,
  MAX_LIFETIME: 0,
  MAX_MEMORY: 0,
  STUCK: 75,
  KILLED: 130,
  REFUSED: 78,
};

/** Settings of a worker besides its connection. Spans are in seconds. */
export interface WorkerOptions extends ClientOptions {
  /** Names, or weights (1 to 1000) by name; 1 to 100 queues. Default ["default"]. */
  readonly queues?: readonly string[] | Readonly<Record<string, number>> | undefined;
  /** STRICT: a queue is served only while those before it have nothing. Default WEIGHTED. */
  readonly order?: "WEIGHTED" | "STRICT" | undefined;
  /** Handlers at once, 1 to 100000, default 10. */
  readonly concurrency?: number | undefined;
  /** Jobs delivered and not settled. Default concurrency + what 0.02 to 0.25 s of work need. */
  readonly window?: number | undefined;
  /** Label for people, default host:pid. */
  readonly name?: string | undefined;
  /** How long leases outlive the last heartbeat, 2 to 600; default the server's. */
  readonly sessionTtl?: Seconds | undefined;
  /** Soft stop: running handlers may finish for so long, default 30. */
  readonly grace?: Seconds | undefined;
  /** Hard stop: then their signal is aborted and they may clean up for so long, default 5. */
  readonly stopGrace?: Seconds | undefined;
  /** Stuck handlers that end the worker. Default 3, at most half of the concurrency. */
  readonly stuckLimit?: number | undefined;
  /** Leave once nothing waits. */
  readonly untilEmpty?: boolean | undefined;
  /** untilEmpty: leave after so long without a delivery, whatever the server counts. Default 10. */
  readonly emptyGrace?: Seconds | undefined;
  /** Leave after so many jobs. */
  readonly maxJobs?: number | undefined;
  /** Leave when the process has grown to so many bytes. */
  readonly maxMemory?: number | undefined;
  /** Leave after so long. */
  readonly maxLifetime?: Seconds | undefined;
  /** Exists, and is touched, while the worker is healthy. */
  readonly healthFile?: string | undefined;
  /** Serves GET /healthz on all interfaces: 200 or 503; 0: on a free port of loopback. */
  readonly healthPort?: number | undefined;
  /** Without a stream for so long it is unhealthy. Default 120. */
  readonly unhealthyAfter?: Seconds | undefined;
  /** A handler's span begins a trace and links to the dispatch, or continues its trace. Default link. */
  readonly traceParent?: "link" | "continue" | undefined;
}

/** Settings with everything filled in. */
export interface ResolvedWorkerOptions {
  readonly queues: ReadonlyMap<string, number>;
  readonly strict: boolean;
  readonly concurrency: number;
  readonly window: number | undefined;
  readonly name: string;
  readonly sessionTtl: Seconds | undefined;
  readonly grace: Seconds;
  readonly stopGrace: Seconds;
  readonly stuckLimit: number;
  readonly untilEmpty: boolean;
  readonly emptyGrace: Seconds;
  readonly maxJobs: number;
  readonly maxMemory: number;
  readonly maxLifetime: Seconds;
  readonly healthFile: string | undefined;
  readonly healthPort: number | undefined;
  readonly unhealthyAfter: Seconds;
  readonly continuesTrace: boolean;
}

/** Fills in the defaults. Throws RangeError for what cannot work. */
export function resolveWorkerOptions(options: WorkerOptions): ResolvedWorkerOptions {
  const queues = readQueues(options.queues ?? ["default"]);
  const concurrency = options.concurrency ?? 10;
  within("number of queues", queues.size, 1, 100);
  for (const weight of queues.values()) within("weight", weight, 1, 1000);
  within("concurrency", concurrency, 1, MAX_WINDOW);
  if (options.window !== undefined) within("window", options.window, 1, MAX_WINDOW);
  if (options.sessionTtl !== undefined) within("sessionTtl", options.sessionTtl, 2, 600);
  return {
    queues,
    strict: options.order === "STRICT",
    concurrency,
    window: options.window,
    name: options.name ?? `${hostname()}:${String(process.pid)}`,
    sessionTtl: options.sessionTtl,
    grace: options.grace ?? 30,
    stopGrace: options.stopGrace ?? 5,
    stuckLimit: Math.max(1, options.stuckLimit ?? Math.min(3, Math.floor(concurrency / 2))),
    untilEmpty: options.untilEmpty ?? false,
    emptyGrace: options.emptyGrace ?? 10,
    maxJobs: options.maxJobs ?? Infinity,
    maxMemory: options.maxMemory ?? Infinity,
    maxLifetime: options.maxLifetime ?? Infinity,
    healthFile: options.healthFile,
    healthPort: options.healthPort,
    unhealthyAfter: options.unhealthyAfter ?? 120,
    continuesTrace: options.traceParent === "continue",
  };
}

function readQueues(queues: readonly string[] | Readonly<Record<string, number>>): Map<string, number> {
  return isNames(queues) ? new Map(queues.map((name) => [name, 1])) : new Map(Object.entries(queues));
}

function isNames(queues: readonly string[] | Readonly<Record<string, number>>): queues is readonly string[] {
  return Array.isArray(queues);
}

function within(name: string, value: number, least: number, most: number): void {
  if (!(value >= least && value <= most)) throw new RangeError(`${name} is ${String(least)} to ${String(most)}`);
}

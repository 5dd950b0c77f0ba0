import { create } from "@bufbuild/protobuf";

import * as wire from "./gen/protojobs/v1/queue_service_pb.js";
import type { RetryPolicy } from "./job.js";
import { readRetryPolicy } from "./parse.js";
import { toRetryPolicy } from "./spec.js";
import { dateOf, spanOf, toDuration, type Seconds } from "./time.js";

/** What a queue does with its jobs; a setting that is null goes back to its default. Spans are in seconds. */
export interface QueueSettings {
  /** Retry policy of jobs that have none. */
  readonly retry?: RetryPolicy | null | undefined;
  /** Run timeout of jobs that have none. */
  readonly runTimeout?: Seconds | null | undefined;
  /** How long finished jobs stay. */
  readonly retention?: RetentionSettings | null | undefined;
  /** Refuse completions after the lease's deadline. */
  readonly strictLeases?: boolean | undefined;
  /** Jobs started a second, and at once. */
  readonly rateLimit?: { readonly perSecond: number; readonly burst?: number | undefined } | null | undefined;
  /** Jobs that run at once. */
  readonly maxInFlight?: number | null | undefined;
  /** Jobs of one concurrency key that run at once. */
  readonly perKeyLimit?: number | null | undefined;
  /** Jobs that wait. */
  readonly maxDepth?: number | null | undefined;
  /** What happens to a dispatch beyond maxDepth. */
  readonly overflow?: "REJECT" | "RETRY" | "DROP_OLDEST" | null | undefined;
  /** Which attempts are remembered. */
  readonly history?: "ALL" | "FAILURES" | "NONE" | null | undefined;
  /** Which events are told. */
  readonly events?: "FINAL" | "ALL" | null | undefined;
  /** Largest payload. */
  readonly maxPayloadBytes?: number | null | undefined;
  /** Shares by fairness key. */
  readonly fairness?:
    | { readonly enabled: boolean; readonly weights?: Readonly<Record<string, number>> }
    | null
    | undefined;
  /** Raise the priority of what waits by 1 each so many seconds. */
  readonly agingInterval?: Seconds | null | undefined;
}

/** How long finished jobs stay. */
export interface RetentionSettings {
  readonly completed?: Seconds | undefined;
  readonly failed?: Seconds | undefined;
  readonly cancelled?: Seconds | undefined;
}

/** A queue. */
export interface QueueInfo {
  readonly name: string;
  readonly paused: boolean;
  readonly retry: RetryPolicy;
  readonly runTimeout: Seconds | undefined;
  readonly strictLeases: boolean;
  readonly rateLimit: { readonly perSecond: number; readonly burst: number } | undefined;
  /** 0: no limit. */
  readonly maxInFlight: number;
  /** 0: one. */
  readonly perKeyLimit: number;
  /** 0: no limit. */
  readonly maxDepth: number;
  /** 0: the server's limit. */
  readonly maxPayloadBytes: number;
  readonly createdAt: Date | undefined;
  readonly updatedAt: Date | undefined;
}

/** Jobs by state. */
export interface StateCounts {
  readonly scheduled: number;
  readonly pending: number;
  readonly running: number;
  readonly retrying: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly expired: number;
}

/** Numbers of a queue. */
export interface QueueStats {
  readonly queue: string;
  readonly counts: StateCounts;
  readonly oldestPendingAge: Seconds | undefined;
  readonly completedPerSecond1m: number;
  readonly completedPerSecond5m: number;
  readonly failedPerSecond1m: number;
  readonly failedPerSecond5m: number;
  readonly averageRunTime: Seconds | undefined;
  readonly p95RunTime: Seconds | undefined;
  readonly workers: number;
  readonly openWindow: number;
  readonly paused: boolean;
  /** What keeps its jobs back. */
  readonly limitedBy: {
    readonly paused: boolean;
    readonly rate: boolean;
    readonly concurrency: boolean;
    readonly noWorkerKinds: readonly { readonly kind: string; readonly pending: number }[];
  };
}

/** Writes settings into a queue and returns the paths of what they name. */
export function applySettings(queue: wire.Queue, settings: QueueSettings): string[] {
  const paths: string[] = [];
  const set = <T>(value: T | null | undefined, path: string, write: (value: T) => void): void => {
    if (value === undefined) return;
    paths.push(path);
    if (value !== null) write(value);
  };
  set(settings.retry, "retry", (value) => (queue.retry = toRetryPolicy(value)));
  set(settings.runTimeout, "run_timeout", (value) => (queue.runTimeout = toDuration(value)));
  set(settings.retention, "retention", (value) => (queue.retention = toRetention(value)));
  set(settings.strictLeases, "strict_leases", (value) => (queue.strictLeases = value));
  set(settings.rateLimit, "rate_limit", ({ perSecond, burst = 0 }) => {
    queue.rateLimit = create(wire.RateLimitSchema, { perSecond, burst });
  });
  set(settings.maxInFlight, "max_in_flight", (value) => (queue.maxInFlight = atLeastOne("maxInFlight", value)));
  set(settings.perKeyLimit, "per_key_limit", (value) => (queue.perKeyLimit = atLeastOne("perKeyLimit", value)));
  set(settings.maxDepth, "max_depth", (value) => (queue.maxDepth = BigInt(atLeastOne("maxDepth", value))));
  set(settings.overflow, "overflow", (value) => (queue.overflow = wire.Overflow[value]));
  set(settings.history, "history", (value) => (queue.history = wire.History[value]));
  set(settings.events, "events", (value) => (queue.events = wire.EventLevel[value]));
  set(settings.maxPayloadBytes, "max_payload_bytes", (value) => {
    queue.maxPayloadBytes = atLeastOne("maxPayloadBytes", value);
  });
  set(settings.fairness, "fairness", ({ enabled, weights = {} }) => {
    queue.fairness = create(wire.FairnessSchema, { enabled, weights: { ...weights } });
  });
  if (settings.agingInterval !== undefined) {
    paths.push("priority_mode", "aging_interval");
    if (settings.agingInterval !== null) {
      queue.priorityMode = wire.PriorityMode.AGING;
      queue.agingInterval = toDuration(settings.agingInterval);
    }
  }
  return paths;
}

/** Reads a queue. */
export function readQueue(queue: wire.Queue | undefined): QueueInfo {
  const { rateLimit, retry } = queue ?? {};
  return {
    name: queue?.name ?? "",
    paused: queue?.paused ?? false,
    retry: retry === undefined ? {} : readRetryPolicy(retry),
    runTimeout: spanOf(queue?.runTimeout),
    strictLeases: queue?.strictLeases ?? false,
    rateLimit: rateLimit && { perSecond: rateLimit.perSecond, burst: rateLimit.burst },
    maxInFlight: queue?.maxInFlight ?? 0,
    perKeyLimit: queue?.perKeyLimit ?? 0,
    maxDepth: Number(queue?.maxDepth ?? 0),
    maxPayloadBytes: queue?.maxPayloadBytes ?? 0,
    createdAt: dateOf(queue?.createTime),
    updatedAt: dateOf(queue?.updateTime),
  };
}

/** Reads the numbers of a queue. */
export function readStats(stats: wire.QueueStats): QueueStats {
  const { counts, limitedBy } = stats;
  return {
    queue: stats.queue,
    counts: {
      scheduled: Number(counts?.scheduled ?? 0),
      pending: Number(counts?.pending ?? 0),
      running: Number(counts?.running ?? 0),
      retrying: Number(counts?.retrying ?? 0),
      completed: Number(counts?.completed ?? 0),
      failed: Number(counts?.failed ?? 0),
      cancelled: Number(counts?.cancelled ?? 0),
      expired: Number(counts?.expired ?? 0),
    },
    oldestPendingAge: spanOf(stats.oldestPendingAge),
    completedPerSecond1m: stats.completedPerSecond1m,
    completedPerSecond5m: stats.completedPerSecond5m,
    failedPerSecond1m: stats.failedPerSecond1m,
    failedPerSecond5m: stats.failedPerSecond5m,
    averageRunTime: spanOf(stats.averageRunTime),
    p95RunTime: spanOf(stats.p95RunTime),
    workers: stats.workers,
    openWindow: Number(stats.openWindow),
    paused: stats.paused,
    limitedBy: {
      paused: limitedBy?.paused ?? false,
      rate: limitedBy?.rate ?? false,
      concurrency: limitedBy?.concurrency ?? false,
      noWorkerKinds: (limitedBy?.noWorkerKinds ?? []).map(({ kind, pending }) => ({ kind, pending: Number(pending) })),
    },
  };
}

function toRetention({ completed, failed, cancelled }: RetentionSettings): wire.Retention {
  return create(wire.RetentionSchema, {
    ...(completed === undefined ? {} : { completed: toDuration(completed) }),
    ...(failed === undefined ? {} : { failed: toDuration(failed) }),
    ...(cancelled === undefined ? {} : { cancelled: toDuration(cancelled) }),
  });
}

/** The wire's 0 means no limit, which nobody who writes 0 wants. */
function atLeastOne(name: string, limit: number): number {
  if (limit < 1) throw new RangeError(`${name} must be at least 1, or null for no limit`);
  return limit;
}

import {
  AttemptOutcome as WireAttemptOutcome,
  Jitter,
  JobState as WireJobState,
  type Attempt,
  type Job,
  type JobError,
  type JobEvent as WireJobEvent,
  type RetryPolicy as WireRetryPolicy,
} from "./gen/protojobs/v1/job_pb.js";
import {
  DispatchOutcome as WireDispatchOutcome,
  type DispatchResult as WireDispatchResult,
} from "./gen/protojobs/v1/job_service_pb.js";
import type { RetryPolicy } from "./job.js";
import type {
  AttemptInfo,
  AttemptOutcome,
  Dispatched,
  DispatchOutcome,
  DispatchResult,
  JobErrorInfo,
  JobEvent,
  JobInfo,
  JobState,
} from "./models.js";
import { JSON_TYPE } from "./payload.js";
import { DEFAULT_QUEUE } from "./spec.js";
import { fromStatus } from "./statuses.js";
import { dateOf, spanOf } from "./time.js";

const FINAL: ReadonlySet<JobState> = new Set<JobState>(["COMPLETED", "FAILED", "CANCELLED", "EXPIRED"]);

/** Tells whether a job of this state runs again only if somebody retries it. */
export function isFinal(state: JobState): boolean {
  return FINAL.has(state);
}

/** Reads a state. */
export function readState(state: WireJobState): JobState {
  return state === WireJobState.UNSPECIFIED ? "UNKNOWN" : ((WireJobState[state] as JobState | undefined) ?? "UNKNOWN");
}

/** Writes a state. Throws RangeError for UNKNOWN, which no job is in. */
export function toState(state: JobState): WireJobState {
  if (state === "UNKNOWN") throw new RangeError("no job is in state UNKNOWN");
  return WireJobState[state];
}

/** Reads what became of one item of a batch. */
export function readResult(result: WireDispatchResult, sentId: string): DispatchResult {
  if (result.result.case === "error") return { jobId: sentId, error: fromStatus(result.result.value) };
  return readDispatched(result.jobId || sentId, result.result.value ?? WireDispatchOutcome.UNSPECIFIED);
}

/** Reads what a dispatch did. */
export function readDispatched(jobId: string, outcome: WireDispatchOutcome, state?: WireJobState): Dispatched {
  const told =
    outcome === WireDispatchOutcome.UNSPECIFIED ? "CREATED" : (WireDispatchOutcome[outcome] as DispatchOutcome);
  return { jobId, outcome: told, ...(state === undefined ? {} : { state: readState(state) }) };
}

/** Reads a job. `full`: it was asked for with payload, headers and result. */
export function readJob(job: Job, full: boolean): JobInfo {
  const { spec } = job;
  return {
    id: job.id,
    kind: spec?.kind ?? "",
    queue: spec?.queue || DEFAULT_QUEUE,
    state: readState(job.state),
    priority: spec?.priority || 5,
    attempt: job.attempt,
    failures: job.failures,
    crashes: job.crashes,
    createdAt: dateOf(job.createTime),
    nextAt: dateOf(job.nextTime),
    startedAt: dateOf(job.startTime),
    finishedAt: dateOf(job.finishTime),
    expireAt: dateOf(spec?.expireTime),
    worker: job.worker,
    reason: job.reason,
    labels: spec?.labels ?? {},
    fairnessKey: spec?.fairnessKey ?? "",
    concurrencyKey: spec?.concurrencyKey ?? "",
    contentType: spec?.contentType || JSON_TYPE,
    retry: job.retry === undefined ? {} : readRetryPolicy(job.retry),
    runTimeout: spanOf(job.runTimeout),
    cancelRequested: job.cancelRequested,
    parentJobId: job.parentJobId || undefined,
    progress: job.progress && {
      ratio: job.progress.ratio,
      message: job.progress.message,
      updatedAt: dateOf(job.progress.updateTime),
    },
    lastError: job.lastError && readError(job.lastError),
    payload: full ? spec?.payload : undefined,
    headers: full ? spec?.headers : undefined,
    result: full ? job.result : undefined,
  };
}

/** Reads an attempt. */
export function readAttempt(attempt: Attempt): AttemptInfo {
  const named = WireAttemptOutcome[attempt.outcome] as AttemptOutcome | "UNSPECIFIED" | undefined;
  return {
    jobId: attempt.jobId,
    attempt: attempt.attempt,
    outcome: named === undefined || named === "UNSPECIFIED" ? "UNKNOWN" : named,
    worker: attempt.worker,
    reason: attempt.reason,
    startedAt: dateOf(attempt.startTime),
    finishedAt: dateOf(attempt.finishTime),
    error: attempt.error && readError(attempt.error),
    retriedByHand: attempt.retriedByHand,
  };
}

/** Reads an event; undefined for one without a job, which no server sends. */
export function readEvent(event: WireJobEvent): JobEvent | undefined {
  if (event.job === undefined) return undefined;
  return {
    type: event.type,
    job: readJob(event.job, false),
    from: readState(event.from),
    to: readState(event.to),
    attempt: event.attempt,
    at: dateOf(event.eventTime),
    actor: event.actor,
    executionTime: spanOf(event.executionTime),
    cursor: event.cursor,
  };
}

/** Reads a retry policy. */
export function readRetryPolicy(policy: WireRetryPolicy): RetryPolicy {
  return {
    maxRetries: policy.maxRetries,
    initialBackoff: spanOf(policy.initialBackoff),
    multiplier: policy.multiplier,
    maxBackoff: spanOf(policy.maxBackoff),
    jitter: policy.jitter === Jitter.UNSPECIFIED ? undefined : policy.jitter === Jitter.NONE ? "NONE" : "FULL",
    maxRetryDuration: spanOf(policy.maxRetryDuration),
  };
}

function readError({ type, message, stack }: JobError): JobErrorInfo {
  return { type, message, stack };
}

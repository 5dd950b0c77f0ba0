/* What callers read: plain frozen-by-type values, Dates and seconds, never protobuf messages. */
import type { DispatchOutcome as WireOutcome } from "./gen/protojobs/v1/job_service_pb.js";
import type { RetryPolicy } from "./job.js";
import type { ProtoJobsError } from "./errors.js";
import type { Seconds } from "./time.js";

/** Where a job stands; docs/lifecycle.md. UNKNOWN: a state of a later version. */
export type JobState =
  | "UNKNOWN"
  | "SCHEDULED"
  | "PENDING"
  | "RUNNING"
  | "RETRYING"
  | "COMPLETED"
  | "FAILED"
  | "CANCELLED"
  | "EXPIRED";

/** How an attempt ended. UNKNOWN: a way of a later version. */
export type AttemptOutcome =
  | "UNKNOWN"
  | "COMPLETED"
  | "FAILED"
  | "CANCELLED"
  | "EXPIRED"
  | "RETRIED"
  | "SNOOZED"
  | "RELEASED"
  | "CRASHED"
  | "RUNNING";

/**
 * What a dispatch did. EXISTING: the id was stored before, or the unique key belongs to another job, whose id is
 * returned; nothing changed. REPLACED: stored, and another job of the unique key was ended.
 */
export type DispatchOutcome = Exclude<keyof typeof WireOutcome, "UNSPECIFIED">;

/** The job is stored. */
export interface Dispatched {
  readonly jobId: string;
  readonly outcome: DispatchOutcome;
  /** State of the job when the answer was made; only single calls without a stream tell it. */
  readonly state?: JobState;
}

/** The job was not stored, or nobody knows: see `error.retryable`, and dispatch again with this id. */
export interface Refused {
  readonly jobId: string;
  readonly error: ProtoJobsError;
}

/** What became of one job of many. */
export type DispatchResult = Dispatched | Refused;

/** Why an attempt failed, as its worker told. The stack is empty unless the job was read in full. */
export interface JobErrorInfo {
  readonly type: string;
  readonly message: string;
  readonly stack: string;
}

/** How far a running attempt says it is; ratio is 0 to 1. */
export interface ProgressInfo {
  readonly ratio: number;
  readonly message: string;
  readonly updatedAt: Date | undefined;
}

/** A stored job, from one snapshot. Payload, headers and result are undefined unless it was read in full. */
export interface JobInfo {
  readonly id: string;
  readonly kind: string;
  readonly queue: string;
  readonly state: JobState;
  readonly priority: number;
  /** Fencing number: grows at every lease. */
  readonly attempt: number;
  /** Attempts whose handler said failed, since the last retry. */
  readonly failures: number;
  /** Attempts whose session died after the handler had started, since the last retry. */
  readonly crashes: number;
  readonly createdAt: Date | undefined;
  readonly nextAt: Date | undefined;
  readonly startedAt: Date | undefined;
  readonly finishedAt: Date | undefined;
  readonly expireAt: Date | undefined;
  readonly worker: string;
  readonly reason: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly fairnessKey: string;
  readonly concurrencyKey: string;
  readonly contentType: string;
  readonly retry: RetryPolicy;
  readonly runTimeout: Seconds | undefined;
  readonly cancelRequested: boolean;
  readonly parentJobId: string | undefined;
  readonly progress: ProgressInfo | undefined;
  readonly lastError: JobErrorInfo | undefined;
  readonly payload: Uint8Array | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly result: Uint8Array | undefined;
}

/** One lease of a job. */
export interface AttemptInfo {
  readonly jobId: string;
  readonly attempt: number;
  readonly outcome: AttemptOutcome;
  readonly worker: string;
  readonly reason: string;
  readonly startedAt: Date | undefined;
  readonly finishedAt: Date | undefined;
  readonly error: JobErrorInfo | undefined;
  readonly retriedByHand: boolean;
}

/** What a retry did. `already`: the job had gone on from the attempt that was read before this call. */
export interface Retried {
  readonly jobId: string;
  readonly state: JobState;
  readonly already: boolean;
}

/** What happened to a job; `type` is job.processed, job.failed, job.retrying, job.cancelled, job.expired, ... */
export interface JobEvent {
  readonly type: string;
  readonly job: JobInfo;
  readonly from: JobState;
  readonly to: JobState;
  readonly attempt: number;
  readonly at: Date | undefined;
  readonly actor: string;
  readonly executionTime: Seconds | undefined;
  /** Where to go on after this event: keep it to miss nothing. */
  readonly cursor: Uint8Array;
}

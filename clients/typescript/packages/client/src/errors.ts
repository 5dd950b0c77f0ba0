import { Code } from "@connectrpc/connect";

import type { JobInfo } from "./models.js";

/** A field of the request by its path, and what is wrong with it. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

/** What the server said besides the message. */
export interface ErrorFacts {
  readonly code?: Code;
  readonly reason?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly retryAfter?: number | undefined;
  readonly violations?: readonly FieldViolation[];
  readonly cause?: unknown;
}

/** Anything that goes wrong between a client and its server. `reason` is stable; the message is for people. */
export class ProtoJobsError extends Error {
  /** The gRPC status code. */
  readonly code: Code;
  /** The stable reason of docs/reference/errors.md, empty where the server gave none. */
  readonly reason: string;
  /** What belongs to the reason, such as `limit` and `size`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Seconds after which the server wants to be asked again. */
  readonly retryAfter: number | undefined;
  /** The fields that were refused. */
  readonly violations: readonly FieldViolation[];

  constructor(message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = new.target.name;
    this.code = facts.code ?? Code.Unknown;
    this.reason = facts.reason ?? "";
    this.metadata = facts.metadata ?? {};
    this.retryAfter = facts.retryAfter;
    this.violations = facts.violations ?? [];
  }

  /** The name of the gRPC status code, such as INVALID_ARGUMENT. */
  get status(): string {
    return statusName(this.code);
  }

  /** Tells whether the same call with the same ids may succeed later, and does no harm if it was heard before. */
  // eslint-disable-next-line @typescript-eslint/class-literal-property-style -- subclasses compute it
  get retryable(): boolean {
    return false;
  }
}

/** Returns the name of a gRPC status code, such as INVALID_ARGUMENT. */
export function statusName(code: Code): string {
  // gRPC spells it with two L, and the name of the enum has no underscores.
  return code === Code.Canceled ? "CANCELLED" : Code[code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}

/** A field is malformed or out of bounds: see `violations`. Nothing is stored. */
export class InvalidArgumentError extends ProtoJobsError {}

/** MALFORMED_MESSAGE: the bytes are not a message of this type. */
export class MalformedMessageError extends InvalidArgumentError {}

/** JOB_ID_TIME: the time part of a job id is too far from the server's time. */
export class JobIdTimeError extends InvalidArgumentError {
  /** The server's time when it refused the id. */
  get serverTime(): Date | undefined {
    const time = new Date(this.metadata.server_time ?? "");
    return Number.isNaN(time.getTime()) ? undefined : time;
  }
}

/** What the request names does not exist. */
export class NotFoundError extends ProtoJobsError {}

/** JOB_NOT_FOUND: no such job, or it was deleted. */
export class JobNotFoundError extends NotFoundError {}

/** QUEUE_NOT_FOUND: no such queue. */
export class QueueNotFoundError extends NotFoundError {}

/** SESSION_NOT_FOUND: no such worker session. */
export class SessionNotFoundError extends NotFoundError {}

/** SCHEDULE_NOT_FOUND: no such schedule. */
export class ScheduleNotFoundError extends NotFoundError {}

/** What the request wants to make exists; nothing is stored. */
export class AlreadyExistsError extends ProtoJobsError {}

/** JOB_ID_REUSED: the id was used for another body. */
export class JobIdReusedError extends AlreadyExistsError {}

/** DUPLICATE_JOB: the unique key is taken. */
export class DuplicateJobError extends AlreadyExistsError {
  /** Id of the job that has the key. */
  get jobId(): string {
    return this.metadata.job_id ?? "";
  }
}

/** The state does not allow it. */
export class FailedPreconditionError extends ProtoJobsError {}

/** PAYLOAD_TOO_LARGE: the payload is over the limit. */
export class PayloadTooLargeError extends FailedPreconditionError {
  /** Most bytes that are taken; 0 if the server did not say. */
  get limit(): number {
    return Number(this.metadata.limit ?? 0);
  }

  /** Bytes that were sent; 0 if the server did not say. */
  get size(): number {
    return Number(this.metadata.size ?? 0);
  }
}

/** LEASE_SUPERSEDED: the attempt is not leased by this session (any more). */
export class LeaseSupersededError extends FailedPreconditionError {}

/** LEASE_EXPIRED: a strict queue refuses an outcome that came after the lease's deadline. */
export class LeaseExpiredError extends FailedPreconditionError {}

/** JOB_FINAL: the job is final. */
export class JobFinalError extends FailedPreconditionError {}

/** JOB_NOT_FINAL: the job is not final. */
export class JobNotFinalError extends FailedPreconditionError {}

/** JOB_RUNNING: the job is running. */
export class JobRunningError extends FailedPreconditionError {}

/** SESSION_SUPERSEDED: a newer stream of the session exists. */
export class SessionSupersededError extends FailedPreconditionError {}

/** SESSION_CLOSED: the session has expired or was closed. */
export class SessionClosedError extends FailedPreconditionError {}

/** PROTOCOL_VIOLATION: a frame came that the protocol does not allow here. */
export class ProtocolViolationError extends FailedPreconditionError {}

/** QUEUE_NOT_EMPTY: the queue has jobs; use force. */
export class QueueNotEmptyError extends FailedPreconditionError {}

/** CONFLICT: the change is based on an older state; read again. */
export class ConflictError extends FailedPreconditionError {}

/** A bound is reached. Worth a retry where the server says when. */
export class ResourceExhaustedError extends ProtoJobsError {
  override get retryable(): boolean {
    return this.retryAfter !== undefined;
  }
}

/** QUEUE_FULL: the queue is at max_depth. */
export class QueueFullError extends ResourceExhaustedError {}

/** OVERLOADED: too much at once. */
export class OverloadedError extends ResourceExhaustedError {}

/** QUOTA_EXCEEDED: a quota or a cap (queues, kinds, labels). */
export class QuotaExceededError extends ResourceExhaustedError {}

/** No server answers at the moment: safe to retry. */
export class UnavailableError extends ProtoJobsError {
  override get retryable(): boolean {
    return true;
  }
}

/** STORE_UNAVAILABLE: the server's store does not answer. */
export class StoreUnavailableError extends UnavailableError {}

/** ISSUER_UNAVAILABLE: the server cannot read the keys that the credentials are verified with. */
export class IssuerUnavailableError extends UnavailableError {}

/** DRAINING: the server is shutting down. */
export class DrainingError extends UnavailableError {}

/** The deadline passed. The outcome is unknown; a retry with the same ids is safe. */
export class DeadlineExceededError extends ProtoJobsError {
  override get retryable(): boolean {
    return true;
  }
}

/** The operation as a whole was given up; nothing is stored. */
export class AbortedError extends ProtoJobsError {}

/** BATCH_ABORTED: another item of an atomic batch was refused. */
export class BatchAbortedError extends AbortedError {}

/** A position lies outside of what exists. */
export class OutOfRangeError extends ProtoJobsError {}

/** CURSOR_EXPIRED: the event cursor is older than what is kept. */
export class CursorExpiredError extends OutOfRangeError {}

/** The server has no such method. */
export class UnsupportedError extends ProtoJobsError {}

/** DRIVER_UNSUPPORTED: the driver or this version lacks the feature. */
export class DriverUnsupportedError extends UnsupportedError {}

/** No valid credentials. */
export class UnauthenticatedError extends ProtoJobsError {}

/** The credentials do not cover this. */
export class PermissionDeniedError extends ProtoJobsError {}

/** The server failed unexpectedly. */
export class InternalError extends ProtoJobsError {
  /** What to look for in the server's log. */
  get errorId(): string {
    return this.metadata.error_id ?? "";
  }
}

/** The job has no result because of how it ended; thrown by `wait` and `result`. */
export class JobEndedError extends ProtoJobsError {
  /** The job as it ended. */
  readonly job: JobInfo;

  constructor(job: JobInfo) {
    const why = job.lastError === undefined ? job.reason : job.lastError.message;
    super(`job ${job.id} is ${job.state}${why === "" ? "" : `: ${why}`}`, { reason: job.reason });
    this.job = job;
  }
}

/** The job failed for good. */
export class JobFailedError extends JobEndedError {}

/** The job was cancelled. */
export class JobCancelledError extends JobEndedError {}

/** The job expired while it waited. */
export class JobExpiredError extends JobEndedError {}

/** Why bytes cannot be decoded; docs/how-to/encryption.md says what to do. */
export type UndecodableReason =
  | "NO_CODEC"
  | "UNKNOWN_KEY"
  | "NOT_AUTHENTIC"
  | "NOT_ENCRYPTED"
  | "CORRUPT"
  | "TOO_LARGE";

/** The codec cannot read a payload, a result or a checkpoint; no retry can help. Never tells any of the bytes. */
export class UndecodableError extends ProtoJobsError {
  constructor(reason: UndecodableReason, message: string) {
    super(`${reason}: ${message}`, { reason });
  }
}

/** The job was not final when the wait was over. It goes on. */
export class WaitTimeoutError extends ProtoJobsError {}

/** The client was closed. */
export class ClientClosedError extends ProtoJobsError {
  constructor() {
    super("the client is closed");
  }
}

/*
 * How an attempt may end: what a handler may say, and what the worker tells the server.
 *
 * A handler says more than success or failure by returning or throwing a Verdict. Everything else becomes one of the
 * `Outcome` values, one per branch of `SettleItem.outcome`.
 */
import type { JobRequest, Seconds } from "@protojobs/client";
import type { JobSpec } from "@protojobs/client/proto";

// job.proto, JobError: longer text is cut, in bytes of UTF-8.
const MAX_TYPE_BYTES = 256;
const MAX_MESSAGE_BYTES = 4 * 1024;
const MAX_STACK_BYTES = 16 * 1024;

/** A handler's own decision about its job: return it or throw it. */
export abstract class Verdict extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** Fails this attempt and runs the job again `after` so many seconds (default: the policy's backoff; 0 to 365 days). */
export class Retry extends Verdict {
  readonly after: Seconds | undefined;

  constructor(after?: Seconds, reason = "retry requested") {
    super(reason);
    this.after = after === undefined ? undefined : checkSpan(after);
  }
}

/** Runs the job again later (0 s to 365 days); this attempt counts neither as a failure nor as a crash. */
export class Snooze extends Verdict {
  readonly delay: Seconds;

  constructor(delay: Seconds) {
    super("snoozed");
    this.delay = checkSpan(delay);
  }
}

/**
 * Ends the job as COMPLETED, with a result and with jobs that are stored in the same transaction, at most 1000 together
 * with those of `JobContext.dispatch`. A job that has no id of its own gets one of this attempt, so it is stored once.
 */
export class Complete extends Verdict {
  readonly result: unknown;
  readonly dispatch: readonly JobRequest[];

  constructor(result?: unknown, { dispatch = [] }: { readonly dispatch?: readonly JobRequest[] } = {}) {
    super("completed");
    this.result = result;
    this.dispatch = dispatch;
  }
}

/** Ends the job as CANCELLED. The reason is for the worker's log; the wire has no place for it. */
export class Cancel extends Verdict {
  constructor(reason = "cancelled by its handler") {
    super(reason);
  }
}

/** Ends the job as FAILED at once, whatever retries are left. The reason becomes the error's message. */
export class Discard extends Verdict {
  constructor(reason = "discarded by its handler") {
    super(reason);
  }
}

/** An error that no retry can help: the job is FAILED at once, with this error's (or its subclass's) name and message. */
export class NonRetryableError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The payload is not what the handler expects; no retry can help. */
export class InvalidPayloadError extends NonRetryableError {}

/** Why a job goes back to its queue. */
export type ReleaseReason = "SHUTDOWN" | "OVERLOAD" | "UNKNOWN_KIND";

/** Type, message and stack of a failure, each cut to what the contract stores. */
export interface ErrorInfo {
  readonly type: string;
  readonly message: string;
  readonly stack: string;
}

/** The handler completed. `result` undefined: nothing to keep. `dispatch`: to store in the same transaction. */
export interface Completed {
  readonly kind: "completed";
  readonly result?: Uint8Array;
  readonly dispatch: readonly JobSpec[];
  /** How many bytes `dispatch` takes in a frame. */
  readonly dispatchBytes: number;
}

/** The handler failed. */
export interface Failed {
  readonly kind: "failed";
  readonly error: ErrorInfo;
  readonly retryable: boolean;
  readonly retryAfter?: Seconds | undefined;
  /** For the next attempt; undefined keeps what is stored. */
  readonly checkpoint?: Uint8Array;
  /** What went wrong here, for hooks in this process; it never travels. */
  readonly cause?: unknown;
}

/** The handler asked to run again later. */
export interface Snoozed {
  readonly kind: "snoozed";
  readonly delay: Seconds;
}

/** The job goes back to the front of its queue. */
export interface Released {
  readonly kind: "released";
  readonly reason: ReleaseReason;
}

/** The handler stopped because the job was cancelled, or asks itself for the end of its job. */
export interface Cancelled {
  readonly kind: "cancelled";
  readonly reason: string;
}

/** What the server is told about an attempt. */
export type Outcome = Completed | Failed | Snoozed | Released | Cancelled;

/** Most handlers return nothing: one shared value, recognised by identity on the hot path. */
export const COMPLETED: Completed = Object.freeze({ kind: "completed", dispatch: [], dispatchBytes: 0 });

/** The job was cancelled while its handler ran. */
export const CANCELLED: Cancelled = Object.freeze({ kind: "cancelled", reason: "" });

/** Says that a job goes back. */
export function released(reason: ReleaseReason): Released {
  return { kind: "released", reason };
}

/** Describes whatever a handler threw as a failure. */
export function failed(error: unknown, retryable = true): Failed {
  const info =
    error instanceof Error
      ? errorInfo(nameOf(error), textOf(error), stackOf(error))
      : errorInfo(error === null ? "null" : typeof error, textOf(error));
  return { kind: "failed", error: info, retryable, cause: error };
}

/** Describes a failure that was no error of a handler. */
export function failedWith(type: string, message: string, retryable: boolean): Failed {
  return { kind: "failed", error: errorInfo(type, message), retryable };
}

/** Describes an attempt that passed its run timeout. */
export function timedOut(seconds: Seconds): Failed {
  return failedWith("TIMEOUT", `run timeout of ${String(seconds)} s passed`, true);
}

/** Cuts to `limit` bytes of UTF-8, never inside a character; lone surrogates become U+FFFD. */
export function cut(text: string, limit: number): string {
  // Most text is short: three bytes are the most that one unit of UTF-16 takes.
  if (text.length * 3 <= limit && !/\p{Surrogate}/u.test(text)) return text;
  const bytes = Buffer.from(text);
  if (bytes.length <= limit) return bytes.toString();
  let end = limit;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString("utf8", 0, end);
}

function errorInfo(type: string, message: string, stack = ""): ErrorInfo {
  return {
    type: cut(type, MAX_TYPE_BYTES),
    message: cut(message, MAX_MESSAGE_BYTES),
    stack: cut(stack, MAX_STACK_BYTES),
  };
}

function nameOf(error: Error): string {
  try {
    // A class that does not set `name` inherits "Error", which says nothing.
    return error.name === "Error" ? error.constructor.name || "Error" : String(error.name as unknown);
  } catch {
    return "Error";
  }
}

function textOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.message as unknown) : String(error);
  } catch {
    return "(the error cannot be shown)";
  }
}

function stackOf(error: Error): string {
  const stacks: string[] = [];
  try {
    for (let each: unknown = error; each instanceof Error && stacks.length < 8; each = each.cause) {
      stacks.push(String((each.stack ?? each.message) as unknown));
    }
  } catch {
    // What there is so far is better than nothing.
  }
  return stacks.join("\nCaused by: ");
}

function checkSpan(span: Seconds): Seconds {
  if (!(span >= 0)) throw new RangeError("a span of time is at least 0 s");
  return span;
}

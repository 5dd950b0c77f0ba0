import { encodeData, UndecodableError, type Logger } from "@protojobs/client";

import type { Attempt } from "./attempt.js";
import {
  Cancel,
  CANCELLED,
  Complete,
  COMPLETED,
  Discard,
  failed,
  failedWith,
  NonRetryableError,
  released,
  Retry,
  Snooze,
  timedOut,
  Verdict,
  type Outcome,
} from "./outcomes.js";
import { seal } from "./registry.js";

/** Turns what a handler returned into an outcome. */
export function classify(attempt: Attempt, value: unknown): Outcome {
  if (value === undefined && attempt.children === undefined) return COMPLETED;
  return value instanceof Verdict ? decide(attempt, value) : complete(attempt, value);
}

/** Turns what a handler threw into an outcome. */
export function classifyError(attempt: Attempt, error: unknown, logger: Logger): Outcome {
  if (error instanceof Verdict) return decide(attempt, error);
  if (attempt.stopReason !== undefined && isAbort(attempt, error)) return stopped(attempt);
  if (error instanceof NonRetryableError || error instanceof UndecodableError) return failed(error, false);
  return failed(error, mayRetry(attempt, error, logger));
}

/** Says how an attempt ends whose handler stopped because it was asked to. */
export function stopped(attempt: Attempt): Outcome {
  switch (attempt.stopReason) {
    case "TIMEOUT":
      return timedOut(attempt.runTimeout);
    case "CANCELLED":
      return CANCELLED;
    default:
      // After a lost lease the server refuses this, unless it was an outage in which nothing expired.
      return released("SHUTDOWN");
  }
}

/** Whatever takes a signal throws its reason or an error of the name AbortError. */
function isAbort(attempt: Attempt, error: unknown): boolean {
  return error === attempt.signal.reason || (error instanceof Error && error.name === "AbortError");
}

function decide(attempt: Attempt, verdict: Verdict): Outcome {
  if (verdict instanceof Complete) {
    try {
      for (const request of verdict.dispatch) attempt.addChild(request);
    } catch (error) {
      return failed(error, false);
    }
    return classify(attempt, verdict.result);
  }
  if (verdict instanceof Retry) {
    return { ...failedWith("Retry", verdict.message, true), retryAfter: verdict.after, cause: verdict };
  }
  if (verdict instanceof Snooze) return { kind: "snoozed", delay: verdict.delay };
  if (verdict instanceof Cancel) return { kind: "cancelled", reason: verdict.message };
  if (verdict instanceof Discard) return { ...failedWith("Discard", verdict.message, false), cause: verdict };
  return failed(verdict, false);
}

function complete(attempt: Attempt, value: unknown): Outcome {
  const { children } = attempt;
  const dispatched = { dispatch: children?.specs ?? [], dispatchBytes: children?.bytes ?? 0 };
  if (value === undefined) return { kind: "completed", ...dispatched };
  try {
    const plain = value instanceof Uint8Array ? { data: value, contentType: "application/json" } : encodeData(value);
    const result = seal(attempt.job, plain, attempt.handler.codec, "result");
    return { kind: "completed", result, ...dispatched };
  } catch (error) {
    // The work is done and a retry would do it again: the same value would come back.
    return failed(error, false);
  }
}

function mayRetry(attempt: Attempt, error: unknown, logger: Logger): boolean {
  try {
    return attempt.handler.shouldRetry?.(error) ?? true;
  } catch (failure) {
    logger.error("shouldRetry failed", {
      jobId: attempt.lease.jobId,
      error: failure instanceof Error ? failure.name : "",
    });
    return true;
  }
}

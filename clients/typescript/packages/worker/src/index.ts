/**
 * The worker of Proto Jobs for Node.js: run background jobs.
 *
 * Start with {@link Worker}. A handler returns its result, throws what went wrong, or says more by a {@link Verdict}.
 *
 * @packageDocumentation
 */
export { JobStoppedError, type StopReason } from "./attempt.js";
export { JobContext } from "./context.js";
export { type Health } from "./health.js";
export { type Hook, type SettleResult, type WorkerEventName, type WorkerEvents } from "./hooks.js";
export { EXIT_CODES, type ExitReason, type WorkerOptions } from "./options.js";
export {
  Cancel,
  Complete,
  Discard,
  InvalidPayloadError,
  NonRetryableError,
  Retry,
  Snooze,
  Verdict,
  type Cancelled,
  type Completed,
  type ErrorInfo,
  type Failed,
  type Outcome,
  type Released,
  type ReleaseReason,
  type Snoozed,
} from "./outcomes.js";
export { type HandlerOptions, type JobHandler } from "./registry.js";
export { VERSION } from "./version.js";
export { Worker } from "./worker.js";

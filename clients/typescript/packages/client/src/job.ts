import type { Seconds } from "./time.js";

/** How failures of a job are retried. What is left out takes the queue's value, then the default. */
export interface RetryPolicy {
  /** Retries after the first run, default 3. */
  readonly maxRetries?: number | undefined;
  /** Wait before the first retry, default 60. */
  readonly initialBackoff?: Seconds | undefined;
  /** Factor from one retry to the next, default 2. */
  readonly multiplier?: number | undefined;
  /** Upper bound of one wait, default 3600. */
  readonly maxBackoff?: Seconds | undefined;
  /** Randomisation, default FULL. */
  readonly jitter?: "FULL" | "NONE" | undefined;
  /** No retry starts later than this after the job was created; default unbounded. */
  readonly maxRetryDuration?: Seconds | undefined;
}

/** At most one job of a key, within its queue and scope. */
export interface Unique {
  /** 1 to 256 bytes, compared byte by byte. */
  readonly key: string;
  /** When the key is free again, default UNTIL_DONE. */
  readonly scope?: "UNTIL_START" | "UNTIL_DONE" | "WINDOW" | undefined;
  /** For scope WINDOW, and for no other: 1 s to 365 days. */
  readonly window?: Seconds | undefined;
  /** What becomes of a job whose key another one has, default REJECT (DuplicateJobError). */
  readonly onConflict?: "REJECT" | "RETURN_EXISTING" | "REPLACE" | "DEBOUNCE" | undefined;
}

/** What may be said about a job besides its kind and data. Spans are in seconds. */
export interface JobOptions {
  /** Default "default". */
  readonly queue?: string | undefined;
  /** 1 to 9, higher first, default 5. */
  readonly priority?: number | undefined;
  /** Start it this long after it was stored; excludes runAt. */
  readonly delay?: Seconds | undefined;
  /** Start it at this time; excludes delay. */
  readonly runAt?: Date | undefined;
  /** Bounds the run of one attempt, 1 s to 30 days; default the queue's, then 300. */
  readonly runTimeout?: Seconds | undefined;
  /** Overrides the queue's retry policy field by field. */
  readonly retry?: RetryPolicy | undefined;
  /** End it as EXPIRED if it still waits then. */
  readonly expireAt?: Date | undefined;
  /** Opaque pairs that travel to the handler, at most 64 and 8 KiB. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Indexed pairs for filters, at most 16. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** At most one job of this key within its scope. */
  readonly unique?: Unique | undefined;
  /** Share of a fair queue that this job counts to. */
  readonly fairnessKey?: string | undefined;
  /** At most `per_key_limit` jobs of this key run at once. */
  readonly concurrencyKey?: string | undefined;
  /** Keep its result this long, at most as long as the queue keeps the job. */
  readonly resultRetention?: Seconds | undefined;
  /** Store these jobs as well, in the transaction that completes it. They take no id. */
  readonly onComplete?: readonly JobRequest[] | undefined;
  /** Store these jobs as well, in the transaction in which it fails for good. They take no id. */
  readonly onFailed?: readonly JobRequest[] | undefined;
  /** A UUIDv7; dispatching the same id again never runs it twice. Default a fresh one. */
  readonly id?: string | undefined;
  /** Media type of data that is bytes. Default application/json for everything else. */
  readonly contentType?: string | undefined;
}

/** A job to dispatch. `data` becomes JSON unless it is a Uint8Array with a `contentType`. */
export interface JobRequest extends JobOptions {
  /** Which handler runs it. */
  readonly kind: string;
  /** What the handler gets. */
  readonly data?: unknown;
}

import { setTimeout as sleep } from "node:timers/promises";

import type { ProtoJobsError } from "./errors.js";
import { translate } from "./statuses.js";
import { monotonic, type Seconds } from "./time.js";

/** Decides whether and when an error is retried: when the server says, else with full jitter from 0.1 s up to 5 s. */
export class Backoff {
  #ceiling: Seconds;
  readonly #longest: Seconds;
  readonly #random: () => number;

  constructor(initial: Seconds = 0.1, longest: Seconds = 5, random: () => number = Math.random) {
    this.#ceiling = initial;
    this.#longest = longest;
    this.#random = random;
  }

  /** Returns the wait in seconds; undefined: no retry can help. */
  after(error: ProtoJobsError): Seconds | undefined {
    if (!error.retryable) return undefined;
    if (error.retryAfter !== undefined) return error.retryAfter;
    const wait = this.#random() * this.#ceiling;
    this.#ceiling = Math.min(this.#ceiling * 2, this.#longest);
    return wait;
  }
}

/**
 * Calls until it succeeds, fails for good, or another try would begin after `patience` seconds.
 *
 * @throws ProtoJobsError of the last try.
 */
export async function retrying<T>(
  attempt: (left: Seconds) => Promise<T>,
  patience: Seconds,
  signal?: AbortSignal,
): Promise<T> {
  const end = monotonic() + patience;
  const backoff = new Backoff();
  for (;;) {
    try {
      return await attempt(end - monotonic());
    } catch (error) {
      signal?.throwIfAborted();
      const told = translate(error);
      const wait = backoff.after(told);
      if (wait === undefined || monotonic() + wait >= end) throw told;
      await sleep(wait * 1000, undefined, signal === undefined ? {} : { signal }).catch(() => signal?.throwIfAborted());
    }
  }
}

/* How much to take and how long to wait: pure arithmetic, random numbers injected. */
import type { Seconds } from "@protojobs/client/connecting";

import { MAX_WINDOW } from "./options.js";

/** Returns a random number between two bounds. */
export type Uniform = (low: number, high: number) => number;

// Work that is asked for ahead covers the way to the server, the store's commit and the answer: some 5 ms on a quiet
// machine, 200 ms on one that is busy to its limit. What is ahead delays an urgent job by as much, so it is grown by
// need only.
const LEAST_AHEAD: Seconds = 0.02;
const MOST_AHEAD: Seconds = 0.25;
const GROWTH = 2;
const DECAY = 0.8;
// Handlers that take longer get nothing ahead beyond what their rate needs.
const SLOW: Seconds = 0.25;

/** What the last while was like. */
export interface Observation {
  readonly ended: number;
  readonly running: number;
  readonly seconds: Seconds;
  /** Slots stood idle over a backlog. */
  readonly starved: boolean;
}

/**
 * Jobs to ask for beyond those that can run at once: what 0.02 to 0.25 s of work need. As little as keeps the slots
 * busy: what waits here cannot be overtaken by an urgent job, nor run by another worker.
 */
export class Prefetch {
  jobs: number;
  readonly #concurrency: number;
  readonly #floor: number;
  #ahead = LEAST_AHEAD;

  constructor(concurrency: number) {
    this.#concurrency = concurrency;
    this.#floor = Math.min(concurrency, 10);
    this.jobs = this.#floor;
  }

  /** Learns from a while. */
  observe({ ended, running, seconds, starved }: Observation): void {
    this.#ahead = starved ? Math.min(this.#ahead * GROWTH, MOST_AHEAD) : Math.max(this.#ahead * DECAY, LEAST_AHEAD);
    if (ended > 0) {
      const ahead = Math.trunc((ended / seconds) * this.#ahead);
      // Little's law: running / rate is the mean time of a handler.
      const slow = running / (ended / seconds) > SLOW;
      const target = slow ? ahead : Math.max(ahead, this.#floor);
      this.jobs = target > this.jobs ? target : Math.floor((target + this.jobs) / 2);
    } else if (running >= this.#concurrency) {
      this.jobs = Math.floor(this.jobs / 2);
    } else if (running === 0) {
      this.jobs = this.#floor;
    }
    this.jobs = Math.min(this.jobs, MAX_WINDOW - this.#concurrency);
  }
}

/** How long slots stood idle because nothing was there to begin. */
export class Dryness {
  #since: Seconds | undefined;
  #total: Seconds = 0;

  /** Notes that a slot is idle and nothing waits for it. */
  ranDry(now: Seconds): void {
    this.#since ??= now;
  }

  /** Notes that there is something to begin. */
  refilled(now: Seconds): void {
    if (this.#since === undefined) return;
    this.#total += now - this.#since;
    this.#since = undefined;
  }

  /** Returns how long it was since this was asked last. */
  take(now: Seconds): Seconds {
    if (this.#since !== undefined) {
      this.#total += now - this.#since;
      this.#since = now;
    }
    const total = this.#total;
    this.#total = 0;
    return total;
  }
}

/** Waits before a stream is opened again: 0-1 s after a lost one, then full jitter 0.2-10 s, for ever. */
export class Reconnect {
  readonly #uniform: Uniform;
  #tries = 0;

  constructor(uniform: Uniform) {
    this.#uniform = uniform;
  }

  /** Begins anew: a stream stands. */
  welcomed(): void {
    this.#tries = 0;
  }

  /** Returns the next wait. */
  wait(): Seconds {
    this.#tries += 1;
    return this.#tries === 1 ? this.#uniform(0, 1) : this.#uniform(0.2, Math.min(10, 2 ** (this.#tries - 1)));
  }
}

/** Returns the wait before an outcome goes out again that the server could not store: 0.1-5 s, full jitter. */
export function settleAgainAfter(tries: number, uniform: Uniform): Seconds {
  return uniform(0.05, Math.min(5, 0.1 * 2 ** Math.min(tries, 6)));
}

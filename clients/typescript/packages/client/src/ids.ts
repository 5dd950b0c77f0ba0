import { V7Generator } from "uuidv7";

/**
 * Makes job ids in the server's time: UUIDv7, chosen by the client so that every retried dispatch is safe.
 *
 * A server refuses ids whose time part is far from its own clock; `learn` takes its time from that refusal.
 */
export class JobIds {
  readonly #generator = new V7Generator();
  readonly #now: () => number;
  #offset = 0;

  /** @param now The wall clock in milliseconds. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Returns a fresh id. */
  next(): string {
    return this.#generator.generateOrResetWithTs(Math.max(1, Math.trunc(this.#now() + this.#offset))).toString();
  }

  /** Makes later ids as if the local clock had shown `serverTime` now. */
  learn(serverTime: Date): void {
    this.#offset = serverTime.getTime() - this.#now();
  }
}

import { setImmediate as immediate, setTimeout as sleep } from "node:timers/promises";

import type { Logger, Seconds } from "@protojobs/client";
import { secondsOf, type Bell } from "@protojobs/client/connecting";
import { DrainReason, ThrottleReason, type Drain, type LeaseRequest, type Throttle } from "@protojobs/client/proto";

import type { Answers } from "./answers.js";
import type { DeliveredJob } from "./delivered.js";
import type { Executor } from "./executor.js";
import * as frames from "./frames.js";
import type { WireLease } from "./frames.js";
import type { Holding } from "./holding.js";
import type { Leaving } from "./leaving.js";
import { StreamEnded, WriteLost, type Stream } from "./stream.js";

// A Deliver is acknowledged with the next frame, at the latest after this (the server's limit is 5 s).
const RECEIPT: Seconds = 0.05;
const EOF_MS = 2000;

/**
 * One stream between Welcome and its end: what the worker says, and what it does with what it hears.
 *
 * A *turn* collects what handlers reported, begins what there is room for, writes one frame for all of it, and only
 * then calls the handlers: the frame that covers a job leaves before its handler begins.
 */
export class Conversation {
  windowTold = 0;
  readonly #holding: Holding;
  readonly #leaving: Leaving;
  readonly #answers: Answers;
  readonly #executor: Executor;
  readonly #wake: Bell;
  readonly #logger: Logger;
  readonly #clock: () => Seconds;

  /** @param wake Rung where there may be something to begin or to say. */
  constructor(
    holding: Holding,
    leaving: Leaving,
    answers: Answers,
    executor: Executor,
    wake: Bell,
    logger: Logger,
    clock: () => Seconds,
  ) {
    this.#holding = holding;
    this.#leaving = leaving;
    this.#answers = answers;
    this.#executor = executor;
    this.#wake = wake;
    this.#logger = logger;
    this.#clock = clock;
  }

  /** Reads and writes until the stream ends. Throws StreamEnded. */
  async hold(stream: Stream): Promise<never> {
    const reading = this.#read(stream);
    const writing = this.#write(stream).catch((error: unknown) => {
      // What could not be written tells nothing: the reader learns why.
      if (error instanceof WriteLost) return reading;
      throw error;
    });
    try {
      return await Promise.race([reading, writing]);
    } finally {
      stream.cancel();
      this.#wake.ring();
      await Promise.allSettled([reading, writing]);
    }
  }

  /** Tells whether time alone has brought something to say. */
  isDue(stream: Stream, now: Seconds): boolean {
    return this.#holding.updates.size > 0 || stream.owesReceipt(now) || this.#heartbeatDue(stream, now);
  }

  // ---- what the worker says ----------------------------------------------------------------------------

  async #write(stream: Stream): Promise<never> {
    for (;;) {
      await this.#wake.wait();
      // Lets everything that ends in this round of the event loop into one frame.
      await immediate();
      if (stream.over) throw new WriteLost();
      await this.#turn(stream);
      if (stream.leaveAt !== undefined && this.#clock() >= stream.leaveAt) throw new StreamEnded();
      if (stream.goodbyeSent && this.#holding.nothingLeft) {
        stream.halfClose();
        await sleep(EOF_MS, undefined, { signal: stream.signal }).catch(() => undefined);
        throw new StreamEnded();
      }
    }
  }

  async #turn(stream: Stream): Promise<void> {
    const holding = this.#holding;
    holding.collect();
    let begun = holding.begin();
    const startedSeq = holding.ledger.begun;
    let wrote = false;
    try {
      for (const frame of this.#frames(stream, begun)) {
        await stream.write(frame, startedSeq);
        if (begun.length > 0) {
          const starting = begun;
          begun = [];
          holding.start(starting);
          if (holding.usedUp) this.#leaving.leave("MAX_JOBS");
        }
        wrote = true;
      }
    } catch (error) {
      holding.putBack(begun);
      throw error;
    }
    if (wrote && (this.#executor.hasReports || holding.ledger.unsent > 0)) this.#wake.ring();
  }

  /** Makes what there is to say. Nothing to say but something to acknowledge is a Ping. */
  *#frames(stream: Stream, begun: readonly WireLease[]): Generator<LeaseRequest, void, undefined> {
    const { ledger, limits, updates } = this.#holding;
    const now = this.#clock();
    let silent = true;
    for (const batch of updates.take(now)) {
      silent = false;
      yield frames.update(batch);
    }
    for (;;) {
      const leases = ledger.takeUnsent(frames.MAX_SETTLES, limits.maxFrameBytes);
      if (leases.length === 0) break;
      silent = false;
      yield frames.settle(leases);
    }
    const window = this.#holding.window();
    if (this.#holding.phase === "LEAVING") {
      if (!stream.goodbyeSent) {
        stream.goodbyeSent = true;
        silent = false;
        yield frames.goodbye(this.#leaving.deadline);
      }
    } else if (window !== this.windowTold) {
      this.windowTold = window;
      silent = false;
      yield frames.window(window);
    }
    if (silent && (begun.length > 0 || stream.owesReceipt(now) || this.#heartbeatDue(stream, now))) yield frames.ping();
  }

  #heartbeatDue(stream: Stream, now: Seconds): boolean {
    const { heartbeat, tick } = this.#holding.limits;
    return now >= stream.lastWrite + heartbeat - tick;
  }

  // ---- what it hears -----------------------------------------------------------------------------------

  async #read(stream: Stream): Promise<never> {
    for (;;) {
      const { frame } = await stream.read();
      switch (frame.case) {
        case "deliver":
          this.#onDeliver(stream, frame.value);
          break;
        case "settled":
          this.#answers.settled(frame.value);
          break;
        case "cancel":
          this.#answers.cancel(frame.value);
          break;
        case "drain":
          this.#onDrain(stream, frame.value);
          break;
        case "throttle":
          this.#onThrottle(frame.value);
          break;
        default:
        // Welcome comes once and Pong says nothing more; a later version may say what this one does not know.
      }
    }
  }

  #onDeliver(stream: Stream, jobs: readonly DeliveredJob[]): void {
    this.#holding.deliver(jobs);
    const busy = this.#holding.ledger.running > 0;
    stream.delivered(this.#clock() + (busy ? RECEIPT : 0));
    if (!busy) this.#wake.ring();
  }

  #onDrain(stream: Stream, drain: Drain): void {
    this.#logger.info("drain", { reason: DrainReason[drain.reason] });
    if (drain.reason === DrainReason.WORKER) {
      this.#leaving.leave("DRAINED", drain.deadline && secondsOf(drain.deadline));
      return;
    }
    stream.leaveAt = this.#clock() + (drain.reconnectAfter ? secondsOf(drain.reconnectAfter) : 0);
    this.#wake.ring();
  }

  /** Says why this worker is idle. */
  #onThrottle({ queue, why, until }: Throttle): void {
    const seconds = until && secondsOf(until);
    this.#logger.debug("throttled", { queue, why: ThrottleReason[why], seconds });
  }
}

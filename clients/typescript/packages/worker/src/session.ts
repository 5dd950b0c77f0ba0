import { createHash, randomBytes } from "node:crypto";

import {
  InvalidArgumentError,
  PermissionDeniedError,
  ProtocolViolationError,
  SessionClosedError,
  SessionSupersededError,
  UnauthenticatedError,
  UnsupportedError,
  type Logger,
  type ProtoJobsError,
  type Seconds,
} from "@protojobs/client";
import { Bell } from "@protojobs/client/connecting";

import { Answers } from "./answers.js";
import { Conversation } from "./conversation.js";
import type { Executor } from "./executor.js";
import * as frames from "./frames.js";
import { Holding } from "./holding.js";
import type { Hooks } from "./hooks.js";
import { Leaving } from "./leaving.js";
import { limitsOf } from "./limits.js";
import type { ExitReason, ResolvedWorkerOptions } from "./options.js";
import { Reconnect, type Uniform } from "./pacing.js";
import { Stream, StreamEnded, type OpenCall } from "./stream.js";

const LOCKED_OUT_EVERY: Seconds = 60;
// A tick that comes so late means that a handler held the event loop: frames may lie unread.
const HELD_UP: Seconds = 1;
// What ends a worker that no server has welcomed yet: trying again would change nothing.
const REFUSALS = [
  InvalidArgumentError,
  UnsupportedError,
  ProtocolViolationError,
  UnauthenticatedError,
  PermissionDeniedError,
] as const;

/** How a session reaches its servers. */
export interface Road {
  /** Opens the call of a stream. Throws where certificates cannot be read. */
  open: OpenCall;
  /** The server did not answer: the next stream goes by another connection. */
  lost(silent: boolean): void;
}

/** What a session stands on. */
export interface SessionParts {
  readonly options: ResolvedWorkerOptions;
  readonly kinds: readonly string[];
  readonly executor: Executor;
  readonly hooks: Hooks;
  readonly logger: Logger;
  readonly clock: () => Seconds;
  readonly uniform: Uniform;
}

/** The worker's side of the Lease stream: one session, from the first Hello to the last Settled. */
export class Session {
  readonly holding: Holding;
  readonly leaving: Leaving;
  connected = false;
  downSince: Seconds;
  readonly #parts: SessionParts;
  readonly #wake = new Bell();
  readonly #moved = new Bell();
  readonly #answers: Answers;
  readonly #conversation: Conversation;
  readonly #reconnect: Reconnect;
  #sessionId = randomBytes(16);
  #streamNo = 0;
  #stream: Stream | undefined;
  #wasWelcome = false;
  #over = false;
  #lockedOutToldAt = -Infinity;
  #answeredAt: Seconds;
  #fenced = false;
  #silent = false;
  #tickedAt: Seconds;
  #heldUp = false;

  constructor(parts: SessionParts) {
    const { options, executor, hooks, logger, clock, uniform } = parts;
    const wake = (): void => {
      this.#wake.ring();
    };
    this.#parts = parts;
    executor.wake = wake;
    this.holding = new Holding(options, executor, logger, wake, clock);
    this.leaving = new Leaving(options, this.holding, hooks, logger, wake, clock);
    this.#answers = new Answers(this.holding, executor, hooks, logger, wake, uniform, clock);
    this.#conversation = new Conversation(
      this.holding,
      this.leaving,
      this.#answers,
      executor,
      this.#wake,
      logger,
      clock,
    );
    this.#reconnect = new Reconnect(uniform);
    this.downSince = this.#answeredAt = this.#tickedAt = clock();
  }

  // ---- life ------------------------------------------------------------------------------------------

  /** Opens one stream after the other until the worker has left. */
  async run(road: Road): Promise<void> {
    while (!this.#over) {
      const wait = await this.#oneStream(road);
      if (wait <= 0 || this.#isOver()) continue;
      this.#parts.logger.info("next stream", { held: this.holding.ledger.size, seconds: Number(wait.toFixed(2)) });
      await this.#moved.wait(wait * 1000);
    }
  }

  /** Finishes what runs and ends; a second call with KILLED ends at once. */
  leave(reason: ExitReason): void {
    this.leaving.leave(reason);
    if (reason === "KILLED") this.#press(this.#parts.clock());
  }

  /** Takes no more jobs, and gives back what has not begun. */
  quiet(): void {
    this.leaving.quiet();
  }

  /** Goes on by another stream, with all leases, as if the server had asked for it. */
  move(): void {
    if (this.#stream === undefined) this.#moved.ring();
    else this.#stream.leaveAt ??= this.#parts.clock();
    this.#wake.ring();
  }

  /** Looks after everything that only time brings about. Called every `Limits.tick` seconds. */
  upkeep(): void {
    const now = this.#parts.clock();
    const { holding } = this;
    const heldUp = now > this.#tickedAt + holding.limits.tick + HELD_UP;
    // What is unread may say that all is well: judge at the next tick, but then whatever it is like.
    const judges = !heldUp || this.#heldUp;
    this.#heldUp = heldUp;
    this.#tickedAt = now;
    if (!this.connected) holding.collect();
    this.#answers.tick(now);
    this.#watchStream(now, judges);
    if (judges) this.#fence(now);
    holding.watch(now);
    if (holding.stuck >= this.#parts.options.stuckLimit && holding.phase !== "LEAVING") {
      this.#parts.logger.error("too many stuck handlers; leaving", { stuck: holding.stuck });
      this.leave("STUCK");
    }
    if (holding.adapt(now) && holding.window() !== this.#conversation.windowTold) this.#wake.ring();
    this.#press(now);
  }

  /** Lives through one stream. Returns the wait before the next one. */
  async #oneStream(road: Road): Promise<Seconds> {
    let stream: Stream | undefined;
    this.#silent = false;
    try {
      stream = new Stream(road.open, this.#parts.clock);
      this.#stream = stream;
      await this.#greet(stream);
      await this.#conversation.hold(stream);
    } catch (error) {
      if (error instanceof StreamEnded) this.#judge(error, road);
      else if (stream === undefined) this.#parts.logger.error("no stream can be opened", { error: describe(error) });
      else throw error;
    } finally {
      stream?.cancel();
      this.#stream = undefined;
      if (this.connected && stream !== undefined) {
        this.#hear(stream);
        this.connected = false;
        this.downSince = this.#parts.clock();
      }
    }
    if (stream?.halfClosed === true) this.#over = true;
    // The server may have ended the stream of a worker that leaves: there is nothing to come back for.
    this.#press(this.#parts.clock());
    // Told to leave: no backoff, but not before the server wants us back.
    if (stream?.leaveAt !== undefined) return Math.max(0, stream.leaveAt - this.#parts.clock());
    return this.#reconnect.wait();
  }

  async #greet(stream: Stream): Promise<void> {
    const { holding } = this;
    const { options, clock, kinds, logger, hooks } = this.#parts;
    this.#streamNo += 1;
    holding.collect();
    holding.ledger.openStream(this.#streamNo);
    this.#conversation.windowTold = holding.window();
    const hello = frames.hello({
      sessionId: this.#sessionId,
      worker: options.name,
      queues: options.queues,
      strict: options.strict,
      kinds,
      window: this.#conversation.windowTold,
      slots: holding.slots,
      streamNo: this.#streamNo,
      held: holding.ledger.leases(),
      now: clock(),
      sessionTtl: options.sessionTtl,
    });
    // The write may wait for a connection that never comes: the reader hears of that.
    const written = stream.write(hello, 0).catch(() => undefined);
    const welcome = await stream.welcome();
    await written;
    holding.limits = limitsOf(welcome);
    holding.resume(welcome.kept);
    this.#answeredAt = stream.answeredAt;
    this.#fenced = false;
    this.#wasWelcome = true;
    this.#lockedOutToldAt = -Infinity;
    this.connected = true;
    this.#reconnect.welcomed();
    this.#wake.ring();
    logger.info("stream open", { server: welcome.serverId, kept: welcome.kept.length, lost: welcome.lost.length });
    hooks.emit("worker.ready", {
      // Not the id itself: that is a secret.
      session: createHash("sha256").update(this.#sessionId).digest("hex").slice(0, 32),
      resumed: this.#streamNo > 1,
      server: welcome.serverId,
    });
  }

  /** Decides what the end of a stream means for the session. */
  #judge({ error }: StreamEnded, road: Road): void {
    const { logger } = this.#parts;
    if (this.#silent) road.lost(true);
    if (error === undefined) return;
    if (error instanceof SessionClosedError || error instanceof SessionSupersededError) {
      // The server knows this session no more: what it held is not ours, a new one begins.
      logger.warn("session is over; starting a new one", { reason: error.reason });
      this.holding.reset();
      this.#sessionId = randomBytes(16);
      this.#streamNo = 0;
    } else if (!this.#wasWelcome && REFUSALS.some((kind) => error instanceof kind)) {
      logger.error(`this worker is refused: ${error.message}`, { reason: error.reason });
      this.#end("REFUSED");
    } else if (error instanceof UnauthenticatedError || error instanceof PermissionDeniedError) {
      this.#tellLockedOut(error);
    } else {
      logger.warn(`stream ended: ${error.message}`, { reason: error.reason });
      road.lost(false);
    }
  }

  /** Says that credentials which were good are so no more: at once, and then once a minute as long as that lasts. */
  #tellLockedOut(error: ProtoJobsError): void {
    const now = this.#parts.clock();
    if (now < this.#lockedOutToldAt + LOCKED_OUT_EVERY) return;
    this.#lockedOutToldAt = now;
    this.#parts.logger.error(
      `credentials are not accepted any more; what runs goes on, and each try reads the token file again: ${error.message}`,
      { reason: error.reason, held: this.holding.ledger.size },
    );
  }

  // ---- upkeep ----------------------------------------------------------------------------------------

  #hear(stream: Stream): void {
    if (stream.answeredAt <= this.#answeredAt) return;
    this.#answeredAt = stream.answeredAt;
    this.#fenced = false;
  }

  #watchStream(now: Seconds, judges: boolean): void {
    const stream = this.#stream;
    if (stream === undefined || !this.connected) return;
    this.#hear(stream);
    const due = stream.leaveAt !== undefined && now >= stream.leaveAt;
    if (judges && now > stream.lastRead + 3 * this.holding.limits.heartbeat) {
      this.#parts.logger.warn("no frame in three heartbeat intervals; dropping the stream");
      this.#silent = true;
      stream.cancel();
    } else if (due || this.#conversation.isDue(stream, now)) {
      this.#wake.ring();
    }
  }

  /** Stops handlers whose leases may be gone: no answer for 80 % of the session's life without a heartbeat. */
  #fence(now: Seconds): void {
    const { ledger, limits } = this.holding;
    if (this.#fenced || ledger.running === 0 || now < this.#answeredAt + 0.8 * limits.ttl) return;
    this.#fenced = true;
    this.#parts.logger.warn("no answer for 80 % of the session's ttl; stopping handlers");
    this.holding.stop(ledger.runningLeases(), "LEASE_LOST");
  }

  #press(now: Seconds): void {
    if (this.leaving.press(now, this.connected)) this.#end(this.leaving.exit ?? "SIGNAL");
  }

  #end(reason: ExitReason): void {
    this.leaving.exit = reason;
    this.holding.phase = "LEAVING";
    this.#over = true;
    this.#moved.ring();
    this.#stream?.cancel();
  }

  /** `upkeep` may have ended it while a stream was waited for. */
  #isOver(): boolean {
    return this.#over;
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

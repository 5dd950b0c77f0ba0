import { create } from "@bufbuild/protobuf";

import { retrying } from "./backoff.js";
import { MAX_ITEMS, room, type Sized } from "./batch.js";
import { Bell } from "./bell.js";
import { late, type Connection } from "./connection.js";
import type { Line } from "./dial.js";
import { ClientClosedError, UnavailableError, UnsupportedError, type ProtoJobsError } from "./errors.js";
import type { JobSpec } from "./gen/protojobs/v1/job_pb.js";
import {
  DispatchStreamRequestSchema,
  type DispatchStreamRequest,
  type DispatchStreamResponse,
} from "./gen/protojobs/v1/job_service_pb.js";
import type { DispatchResult } from "./models.js";
import { readResult } from "./parse.js";
import { Sink } from "./sink.js";
import { translate } from "./statuses.js";
import type { Seconds } from "./time.js";

const MAX_FRAMES = 4;
const FIRST_WINDOW = 1000;
const IDLE_MS = 30_000;

/** Sends specs without a stream. */
export type Send = (specs: JobSpec[]) => Promise<DispatchResult[]>;

/** One spec and who waits for its answer. */
class Item {
  answered = false;
  readonly sized: Sized;
  readonly #resolve: (result: DispatchResult) => void;

  constructor(sized: Sized, resolve: (result: DispatchResult) => void) {
    this.sized = sized;
    this.#resolve = resolve;
  }

  resolve(result: DispatchResult): void {
    this.answered = true;
    this.#resolve(result);
  }

  refuse(error: ProtoJobsError): void {
    this.resolve({ jobId: this.sized.spec.id, error });
  }
}

/** What was sent under one sequence number, and the answers to it so far. */
interface Frame {
  readonly items: readonly Item[];
  readonly results: Map<number, DispatchResult>;
}

/** One stream while it lasts. */
interface Stream {
  readonly line: Line;
  readonly abort: AbortController;
  over: boolean;
  late: boolean;
  patience: NodeJS.Timeout | undefined;
}

/**
 * Coalesces single dispatches onto one DispatchStream.
 *
 * Callers put specs into a queue and wait. One loop serves it: it opens a stream, packs what waits into frames, at most
 * 4 of them unacknowledged so that later specs gather meanwhile, and hands out the answers. When the stream is lost it
 * opens another and sends what is unacknowledged again, in order and with the same ids. A server without the method
 * gets Dispatch and DispatchBatch instead.
 */
export class DispatchPipe {
  readonly #connection: Connection;
  readonly #send: Send;
  readonly #room: number;
  readonly #news = new Bell();
  readonly #frames = new Map<number, Frame>();
  #queue: Item[] = [];
  #suspects: Item[] = [];
  #streaming: boolean;
  #inFlight = 0;
  #window = FIRST_WINDOW;
  #lastSeq = 0;
  #serving: Promise<void> | undefined;
  #stream: Stream | undefined;
  #lastError: ProtoJobsError | undefined;
  #closing = false;

  constructor(connection: Connection, send: Send) {
    this.#connection = connection;
    this.#send = send;
    this.#streaming = connection.options.streaming;
    this.#room = room(connection.options.maxMessageBytes);
  }

  /** Dispatches one spec. The end of `patience` is a refusal whose outcome is unknown. */
  submit(sized: Sized, patience: Seconds): Promise<DispatchResult> {
    if (this.#closing) return Promise.reject(new ClientClosedError());
    return new Promise<DispatchResult>((resolve) => {
      const item = new Item(sized, (result) => {
        clearTimeout(timer);
        resolve(result);
      });
      const timer = setTimeout(() => {
        item.refuse(this.#lastError ?? late("no acknowledgement came in time"));
      }, patience * 1000);
      this.#queue.push(item);
      this.#news.ring();
      this.#serving ??= this.#serve();
    });
  }

  /** Finishes what was submitted, for at most `grace` seconds; the rest is refused. */
  async close(grace: Seconds): Promise<void> {
    this.#closing = true;
    this.#news.ring();
    const serving = this.#serving;
    if (serving === undefined) return;
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, grace * 1000);
    });
    await Promise.race([serving, patience]);
    clearTimeout(timer);
    for (const item of [...this.#takeBack(), ...this.#queue, ...this.#suspects]) {
      if (!item.answered) item.refuse(new ClientClosedError());
    }
    this.#queue = this.#suspects = [];
    this.#stream?.abort.abort();
  }

  async #serve(): Promise<void> {
    while (this.#queue.length > 0) {
      try {
        await retrying(() => this.#run(), Infinity);
      } catch (error) {
        const told = translate(error);
        if (told instanceof UnsupportedError) this.#streaming = false;
        else if (told instanceof ClientClosedError) this.#refuseAll(told);
        else this.#suspect(told);
      }
      // One caller's job must not fail another's: each gets its own verdict.
      const suspects = this.#suspects;
      this.#suspects = [];
      await this.#sendInBatches(suspects, 1);
    }
    // In the same step as the look at the queue: whoever submits from now on begins anew.
    this.#serving = undefined;
  }

  /** No stream can be had: what waits, or what was on it, is asked for by calls. */
  #suspect({ reason }: ProtoJobsError): void {
    this.#connection.options.logger.warn("dispatch stream refused", { reason });
    if (this.#suspects.length > 0) return;
    this.#suspects = this.#queue;
    this.#queue = [];
  }

  #refuseAll(error: ProtoJobsError): void {
    for (const item of this.#queue) item.refuse(error);
    this.#queue = [];
  }

  /** Serves the queue by one stream until it ends, or in batches. Returns normally if it got anywhere. */
  async #run(): Promise<void> {
    this.#queue = this.#queue.filter((item) => !item.answered);
    if (this.#queue.length === 0) return;
    if (this.#streaming) {
      await this.#runStream();
    } else {
      const queue = this.#queue;
      this.#queue = [];
      await this.#sendInBatches(queue, MAX_ITEMS);
    }
  }

  async #runStream(): Promise<void> {
    const { line, stubs } = this.#connection.current();
    const stream: Stream = { line, abort: new AbortController(), over: false, late: false, patience: undefined };
    this.#stream = stream;
    this.#window = FIRST_WINDOW;
    this.#lastSeq = 0;
    const sink = new Sink<DispatchStreamRequest>();
    const answers = stubs.jobs.dispatchStream(sink, { signal: stream.abort.signal });
    const writing = this.#write(stream, sink);
    const { error, progress } = await this.#read(stream, answers);
    stream.over = true;
    clearTimeout(stream.patience);
    stream.abort.abort();
    sink.drop(new UnavailableError("the stream has ended"));
    this.#news.ring();
    await writing;
    this.#stream = undefined;
    const unacknowledged = this.#takeBack();
    const again = error === undefined || error.retryable || error instanceof UnsupportedError;
    if (again) this.#queue.unshift(...unacknowledged);
    else this.#suspects.unshift(...unacknowledged);
    if (error !== undefined) {
      this.#lastError = error;
      if (error instanceof UnavailableError) this.#connection.lost(line);
      if (!progress || !error.retryable) throw error;
    }
  }

  /** Hands out acknowledgements until the stream ends; returns why, and whether there were any. */
  async #read(
    stream: Stream,
    answers: AsyncIterable<DispatchStreamResponse>,
  ): Promise<{ error: ProtoJobsError | undefined; progress: boolean }> {
    let progress = false;
    try {
      for await (const answer of answers) {
        // The first frame tells only the window, also where nothing can be stored.
        progress ||= answer.upToSeq > 0n;
        this.#acknowledge(answer);
        this.#expectNews(stream, this.#frames.size > 0);
      }
    } catch (error) {
      return { error: stream.late ? late("no acknowledgement came in time") : translate(error), progress };
    }
    const unheard = this.#frames.size > 0 || (this.#queue.length > 0 && !progress && !this.#isMoving(stream));
    return { error: unheard ? new UnavailableError("the server ended the stream") : undefined, progress };
  }

  /** Sends frames until there has been nothing to send for a while. */
  async #write(stream: Stream, sink: Sink<DispatchStreamRequest>): Promise<void> {
    try {
      for (;;) {
        const items = await this.#nextItems(stream);
        if (items.length === 0) break;
        this.#lastSeq += 1;
        this.#frames.set(this.#lastSeq, { items, results: new Map() });
        this.#inFlight += items.length;
        if (this.#frames.size === 1) this.#expectNews(stream, true);
        const specs = items.map((item) => item.sized.spec);
        await sink.write(create(DispatchStreamRequestSchema, { seq: BigInt(this.#lastSeq), specs }));
      }
      sink.end();
      if (!stream.over) this.#expectNews(stream, true);
    } catch {
      // The stream is over: the reader learns why.
    }
  }

  /** Waits for what may be sent; nothing means that the stream is over, idle for long, or to be left. */
  async #nextItems(stream: Stream): Promise<Item[]> {
    for (;;) {
      if (stream.over) return [];
      const moving = this.#isMoving(stream);
      const items = moving ? [] : this.#take();
      if (items.length > 0) return items;
      const idle = this.#frames.size === 0;
      if (idle && (moving || this.#closing)) return [];
      const rung = await this.#news.wait(idle ? IDLE_MS : undefined);
      if (!rung) return [];
    }
  }

  /** Certificates have changed: what follows goes by another line, once everything on this one is acknowledged. */
  #isMoving(stream: Stream): boolean {
    return !this.#closing && this.#connection.current().line !== stream.line;
  }

  /** Takes what the server's window and the size of a message allow. */
  #take(): Item[] {
    if (this.#frames.size >= MAX_FRAMES) return [];
    // With nothing in flight no acknowledgement would ever open a window of 0.
    const allowed = Math.max(this.#window - this.#inFlight, this.#frames.size > 0 ? 0 : 1);
    return takeFrom(this.#queue, Math.min(allowed, MAX_ITEMS), this.#room);
  }

  #acknowledge(answer: DispatchStreamResponse): void {
    if (answer.upToSeq > 0n) this.#lastError = undefined;
    this.#window = answer.window;
    for (const { seq, index, result } of answer.results) {
      const frame = this.#frames.get(Number(seq));
      const item = frame?.items[index];
      if (frame === undefined || item === undefined || result === undefined) continue;
      frame.results.set(index, readResult(result, item.sized.spec.id));
    }
    for (const [seq, frame] of this.#frames) {
      if (BigInt(seq) > answer.upToSeq) continue;
      this.#frames.delete(seq);
      this.#inFlight -= frame.items.length;
      frame.items.forEach((item, index) => {
        item.resolve(frame.results.get(index) ?? { jobId: item.sized.spec.id, outcome: "CREATED" });
      });
    }
    this.#news.ring();
  }

  /** Gives the stream up if the server says nothing for a dispatch's deadline although it should. */
  #expectNews(stream: Stream, expected: boolean): void {
    clearTimeout(stream.patience);
    if (!expected || stream.over) return;
    stream.patience = setTimeout(() => {
      stream.late = true;
      stream.abort.abort();
    }, this.#connection.options.dispatchDeadline * 1000);
  }

  /** Returns what was sent and not acknowledged, in order, as if it had not been sent. */
  #takeBack(): Item[] {
    const items = [...this.#frames.values()].flatMap((frame) => frame.items);
    this.#frames.clear();
    this.#inFlight = 0;
    return items.filter((item) => !item.answered);
  }

  /** Sends items without a stream. Every one gets an answer, be it the error of its call. */
  async #sendInBatches(items: Item[], maxItems: number): Promise<void> {
    for (;;) {
      const batch = takeFrom(items, maxItems, this.#room);
      if (batch.length === 0) return;
      try {
        const results = await this.#send(batch.map((item) => item.sized.spec));
        batch.forEach((item, index) => {
          const result = results[index];
          if (result === undefined) item.refuse(new UnavailableError("the server answered too few items"));
          else item.resolve(result);
        });
      } catch (error) {
        for (const item of batch) item.refuse(translate(error));
      }
    }
  }
}

/** Removes items from the front, within both bounds, but at least one. Those whose callers have gone are dropped. */
function takeFrom(queue: Item[], maxItems: number, maxBytes: number): Item[] {
  const items: Item[] = [];
  let free = maxBytes;
  let taken = 0;
  for (const item of queue) {
    if (items.length === maxItems || (items.length > 0 && item.sized.size > free)) break;
    taken += 1;
    if (item.answered) continue;
    items.push(item);
    free -= item.sized.size;
  }
  queue.splice(0, taken);
  return items;
}

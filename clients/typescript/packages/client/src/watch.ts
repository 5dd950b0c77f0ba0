import { setTimeout as sleep } from "node:timers/promises";

import { Code, type CallOptions } from "@connectrpc/connect";

import { Backoff } from "./backoff.js";
import type { Connection, Stubs } from "./connection.js";
import type { Line } from "./dial.js";
import { UnavailableError } from "./errors.js";
import { translate } from "./statuses.js";
import { monotonic, type Seconds } from "./time.js";

const NOWHERE = new Uint8Array();
// Servers that leave must not be replaced by everybody at once.
const AFTER_AN_END_MS = 1000;

/** What one message brings: items with the cursor behind each, and the cursor behind all. */
export interface Answer<T> {
  readonly items: readonly { readonly item: T; readonly cursor: Uint8Array }[];
  readonly cursor: Uint8Array;
}

/** How a stream is begun and read. */
export interface Source<T, Message> {
  /** Begins a stream behind a cursor. */
  start(stubs: Stubs, cursor: Uint8Array, options: CallOptions): AsyncIterable<Message>;
  /** Reads one of its messages. */
  read(message: Message): Answer<T>;
  /** A stream that is silent for so long is given up. */
  readonly silence: Seconds;
}

/**
 * Iterates over what a stream brings, until it is closed or its loop is left.
 *
 * A lost connection and a server that leaves are made good without a gap. Throws only what no retry can help
 * (CursorExpiredError, InvalidArgumentError), and, until the first answer has come, what `callTimeout` does not outlast.
 */
export class Watch<T, Message = unknown> implements AsyncIterableIterator<T, void, undefined> {
  readonly #connection: Connection;
  readonly #source: Source<T, Message>;
  readonly #closing = new AbortController();
  #cursor: Uint8Array;
  #items: { readonly item: T; readonly cursor: Uint8Array }[] = [];
  #stream: AsyncIterator<Message> | undefined;
  #abort: AbortController | undefined;
  #line: Line | undefined;
  #backoff = new Backoff();
  #giveUpAt: Seconds | undefined;
  #answered = false;

  constructor(connection: Connection, source: Source<T, Message>, cursor: Uint8Array = NOWHERE) {
    this.#connection = connection;
    this.#source = source;
    this.#cursor = cursor;
  }

  /** The place behind the last item that was given: keep it to go on there later. */
  get cursor(): Uint8Array {
    return this.#cursor;
  }

  /** Returns once the server has answered: what happens from now on will come. */
  async begin(): Promise<void> {
    while (!this.#answered && !this.#closing.signal.aborted) await this.#advance();
  }

  async next(): Promise<IteratorResult<T, void>> {
    for (;;) {
      const found = this.#items.shift();
      if (found !== undefined) {
        this.#cursor = found.cursor;
        return { done: false, value: found.item };
      }
      if (this.#closing.signal.aborted) return { done: true, value: undefined };
      await this.#advance();
    }
  }

  return(): Promise<IteratorResult<T, void>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Ends it; whoever iterates comes to the end. May be repeated. */
  close(): void {
    this.#closing.abort();
    this.#items = [];
    this.#drop();
  }

  /** Reads one message, or waits until the next stream may begin. */
  async #advance(): Promise<void> {
    const watchdog = { fired: false };
    let timer: NodeJS.Timeout | undefined;
    try {
      const stream = (this.#stream ??= this.#start());
      timer = setTimeout(() => {
        watchdog.fired = true;
        this.#drop();
      }, this.#patience() * 1000);
      const result = await stream.next();
      if (result.done === true) {
        this.#drop();
        await this.#pause(Math.random() * AFTER_AN_END_MS);
      } else {
        this.#take(this.#source.read(result.value));
      }
    } catch (error) {
      this.#drop();
      const cause = watchdog.fired ? new UnavailableError("the stream is silent", { code: Code.Unavailable }) : error;
      if (!this.#closing.signal.aborted) await this.#recover(cause);
    } finally {
      clearTimeout(timer);
    }
  }

  #start(): AsyncIterator<Message> {
    const { line, stubs } = this.#connection.current();
    this.#line = line;
    this.#giveUpAt ??= monotonic() + this.#connection.options.callTimeout;
    this.#abort = new AbortController();
    return this.#source.start(stubs, this.#cursor, { signal: this.#abort.signal })[Symbol.asyncIterator]();
  }

  #take(answer: Answer<T>): void {
    this.#answered = true;
    this.#backoff = new Backoff();
    this.#items.push(...answer.items);
    if (this.#items.length === 0) this.#cursor = answer.cursor;
  }

  async #recover(error: unknown): Promise<void> {
    const told = translate(error);
    if (told instanceof UnavailableError && this.#line !== undefined) this.#connection.lost(this.#line);
    const wait = this.#backoff.after(told);
    if (wait === undefined || (!this.#answered && wait >= this.#left())) throw told;
    await this.#pause(wait * 1000);
  }

  /** How long the next answer may take: until the first has come no longer than a call. */
  #patience(): Seconds {
    return this.#answered ? this.#source.silence : Math.max(0, Math.min(this.#source.silence, this.#left()));
  }

  #left(): Seconds {
    return (this.#giveUpAt ?? Infinity) - monotonic();
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#closing.signal }).catch(() => undefined);
  }

  #drop(): void {
    this.#abort?.abort();
    this.#abort = this.#stream = undefined;
  }
}

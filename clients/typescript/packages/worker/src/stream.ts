import { ProtoJobsError, UnavailableError, type Seconds } from "@protojobs/client";
import { Sink, translate, type RawFrame } from "@protojobs/client/connecting";
import type { LeaseRequest, Welcome } from "@protojobs/client/proto";

import { readIncoming, type Incoming } from "./incoming.js";

const WELCOME_MS = 10_000;

/** Opens the call of a stream. */
export type OpenCall = (requests: AsyncIterable<LeaseRequest>, signal: AbortSignal) => AsyncIterable<RawFrame>;

/** The stream is over; `error` tells why, unless it simply ended. */
export class StreamEnded extends Error {
  readonly error: ProtoJobsError | undefined;

  constructor(error?: ProtoJobsError) {
    super("the stream has ended");
    this.error = error;
  }
}

/** A write that did not leave because the stream is over; its reader learns why. */
export class WriteLost extends Error {}

/** One Lease stream from Hello on: numbers frames, remembers what was heard when. */
export class Stream {
  receivedSeq = 0n;
  lastRead: Seconds;
  lastWrite: Seconds;
  /** When the newest frame that the server says it has read was sent: its lease clock began no earlier. */
  answeredAt: Seconds;
  /** When to leave it for the next one. */
  leaveAt: Seconds | undefined = undefined;
  goodbyeSent = false;
  halfClosed = false;
  readonly #sink = new Sink<LeaseRequest>();
  readonly #abort = new AbortController();
  readonly #answers: AsyncIterator<RawFrame>;
  readonly #clock: () => Seconds;
  #seq = 0n;
  #unanswered: { readonly seq: bigint; readonly at: Seconds }[] = [];
  #deliveredSeq = 0n;
  /** When a frame that covers the newest Deliver must leave; undefined: one has left. */
  #receiptAt: Seconds | undefined;
  #dropped = false;

  constructor(open: OpenCall, clock: () => Seconds) {
    this.#clock = clock;
    this.lastRead = this.lastWrite = this.answeredAt = clock();
    this.#answers = open(this.#sink, this.#abort.signal)[Symbol.asyncIterator]();
  }

  /** It was dropped or left: nothing is written any more. */
  get over(): boolean {
    return this.#dropped;
  }

  /** Aborted once it was dropped or left. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Sends a frame; settles when it has left. Throws WriteLost. */
  async write(frame: LeaseRequest, startedSeq: number): Promise<void> {
    this.#seq += 1n;
    frame.seq = this.#seq;
    frame.receivedSeq = this.receivedSeq;
    frame.startedSeq = BigInt(startedSeq);
    this.#unanswered.push({ seq: this.#seq, at: this.#clock() });
    const covered = frame.receivedSeq;
    try {
      await this.#sink.write(frame);
    } catch {
      throw new WriteLost();
    }
    this.lastWrite = this.#clock();
    // A Deliver that was read meanwhile is not covered by this frame.
    this.#receiptAt = covered >= this.#deliveredSeq ? undefined : this.lastWrite;
  }

  /** Reads a frame. Throws StreamEnded. */
  async read(): Promise<Incoming> {
    let frame: Incoming | undefined;
    try {
      const result = await this.#answers.next();
      if (result.done !== true) frame = readIncoming(result.value);
    } catch (error) {
      throw new StreamEnded(this.#dropped ? undefined : translate(error));
    }
    if (frame === undefined) throw new StreamEnded();
    const { receivedSeq } = frame;
    this.lastRead = this.#clock();
    this.receivedSeq = frame.seq;
    const answered = this.#unanswered.findLastIndex(({ seq }) => seq <= receivedSeq);
    if (answered >= 0) {
      this.answeredAt = this.#unanswered[answered]?.at ?? this.answeredAt;
      this.#unanswered.splice(0, answered + 1);
    }
    return frame;
  }

  /** Reads the first frame. Throws StreamEnded. */
  async welcome(): Promise<Welcome> {
    const watchdog = { fired: false };
    const timer = setTimeout(() => {
      watchdog.fired = true;
      this.#abort.abort();
    }, WELCOME_MS);
    try {
      const { frame } = await this.read();
      if (frame.case !== "welcome") throw new StreamEnded(new ProtoJobsError("the first frame is not Welcome"));
      return frame.value;
    } catch (error) {
      throw watchdog.fired ? new StreamEnded(new UnavailableError("no Welcome within 10 s")) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Notes that the frame just read was a Deliver, whose receipt is to leave at `receiptAt` at the latest. */
  delivered(receiptAt: Seconds): void {
    this.#deliveredSeq = this.receivedSeq;
    this.#receiptAt ??= receiptAt;
  }

  /** Tells whether a Deliver must be acknowledged now. */
  owesReceipt(now: Seconds): boolean {
    return this.#receiptAt !== undefined && now >= this.#receiptAt;
  }

  /** Says that no frame follows; the server then ends the stream. */
  halfClose(): void {
    this.halfClosed = true;
    this.#sink.end();
  }

  /** Drops the stream; whoever waits for it sees its end. May be repeated. */
  cancel(): void {
    this.#dropped = true;
    this.#abort.abort();
    this.#sink.drop(new WriteLost());
  }
}

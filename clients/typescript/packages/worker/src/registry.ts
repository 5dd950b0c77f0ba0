import {
  decodeData,
  ENVELOPE_TYPE,
  plainCodec,
  UndecodableError,
  type Codec,
  type Payload,
  type PayloadContext,
  type Seconds,
  type Use,
} from "@protojobs/client";

import type { Attempt } from "./attempt.js";
import type { JobContext } from "./context.js";
import type { DeliveredJob } from "./delivered.js";
import { InvalidPayloadError } from "./outcomes.js";

/** What may be said about a handler when it is registered. */
export interface HandlerOptions<Data> {
  /**
   * Checks the decoded payload and says what it is, for example `(data) => Email.parse(data)` with a zod schema. What it
   * throws fails the job without retries; its message is stored.
   */
  readonly parse?: ((data: unknown) => Data) | undefined;
  /** Bounds the run of one attempt in seconds; it may only shorten the job's own. */
  readonly timeout?: Seconds | undefined;
  /** false for errors that no retry can help; default all may be retried. */
  readonly shouldRetry?: ((error: unknown) => boolean) | undefined;
  /** Called once the job is FAILED for good, with what its last attempt threw. */
  readonly failed?: ((context: JobContext, error: unknown) => unknown) | undefined;
}

/** What runs a job: what it returns becomes the result (JSON, or bytes as they are), a Verdict says more. */
export type JobHandler<Data> = (context: JobContext, data: Data) => unknown;

/** A registered handler: how to decode for it, call it, and ask it about failures. */
export interface Handler {
  readonly kind: string;
  readonly timeout: Seconds;
  readonly codec: Codec;
  readonly shouldRetry: ((error: unknown) => boolean) | undefined;
  readonly failed: ((context: JobContext, error: unknown) => unknown) | undefined;
  /** Calls the handler. Throws InvalidPayloadError and UndecodableError, and what the handler throws. */
  invoke(context: JobContext, attempt: Attempt): unknown;
}

/** The handlers of a worker, by kind. */
export class Registry {
  readonly #handlers = new Map<string, Handler>();

  /** Registers a handler of decoded data. Throws TypeError if its kind has one. */
  add<Data>(kind: string, handler: JobHandler<Data>, options: HandlerOptions<Data>, codec: Codec): void {
    this.#put(kind, options, codec, (context, attempt) => handler(context, readData(attempt, codec, options.parse)));
  }

  /** Registers a handler of plain bytes. Throws TypeError if its kind has one. */
  addBytes(
    kind: string,
    handler: JobHandler<Uint8Array>,
    options: Omit<HandlerOptions<Uint8Array>, "parse">,
    codec: Codec,
  ): void {
    this.#put(kind, options, codec, (context, attempt) => handler(context, readBytes(attempt, codec)));
  }

  /** Finds the handler of a kind. */
  get(kind: string): Handler | undefined {
    return this.#handlers.get(kind);
  }

  /** The kinds that can run here. */
  kinds(): string[] {
    return [...this.#handlers.keys()].sort();
  }

  #put(
    kind: string,
    { timeout = Infinity, shouldRetry, failed }: Omit<HandlerOptions<never>, "parse">,
    codec: Codec,
    invoke: Handler["invoke"],
  ): void {
    if (this.#handlers.has(kind)) throw new TypeError(`kind ${kind} has a handler already`);
    this.#handlers.set(kind, { kind, timeout, codec, shouldRetry, failed, invoke });
  }
}

/** Returns the payload of a job as its producer gave it. Throws UndecodableError. */
export function openPayload(job: DeliveredJob, codec: Codec): Payload {
  return open({ data: job.payload, contentType: job.contentType || "application/json" }, job, codec, "payload");
}

/** Returns a checkpoint as an earlier attempt gave it; undefined where there is none. Throws UndecodableError. */
export function openCheckpoint(job: DeliveredJob, codec: Codec): Uint8Array | undefined {
  const { checkpoint } = job.message;
  if (checkpoint.length === 0) return undefined;
  return open({ data: checkpoint, contentType: "application/json" }, job, codec, "checkpoint").data;
}

/** Returns what the server stores of a result or checkpoint. */
export function seal(job: DeliveredJob, plain: Payload, codec: Codec, use: Use): Uint8Array {
  return codec === plainCodec ? plain.data : codec.encode(plain, about(job, use)).data;
}

function open(stored: Payload, job: DeliveredJob, codec: Codec, use: Use): Payload {
  return codec === plainCodec ? stored : codec.decode(stored, about(job, use));
}

/** What a codec hears of the job whose bytes it gets. */
function about({ jobId, kind, message }: DeliveredJob, use: Use): PayloadContext {
  return { kind, queue: message.spec?.queue ?? "", use, jobId };
}

function readBytes(attempt: Attempt, codec: Codec): Uint8Array {
  const { data, contentType } = openPayload(attempt.job, codec);
  if (contentType === ENVELOPE_TYPE) {
    throw new UndecodableError("NO_CODEC", "a codec made these bytes, and none here reads them");
  }
  return data;
}

function readData<Data>(attempt: Attempt, codec: Codec, parse: ((data: unknown) => Data) | undefined): Data {
  const plain = openPayload(attempt.job, codec);
  try {
    const data = decodeData(plain);
    // Without `parse` the handler takes what comes: its type is its author's word.
    return parse === undefined ? (data as Data) : parse(data);
  } catch (error) {
    if (error instanceof UndecodableError) throw error;
    const told = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    throw new InvalidPayloadError(told, { cause: error });
  }
}

import { create } from "@bufbuild/protobuf";

import { batches, MAX_ITEMS, room, type Sized } from "./batch.js";
import { Calls } from "./calls.js";
import type { Connection } from "./connection.js";
import { JobIdTimeError, PayloadTooLargeError, type ProtoJobsError } from "./errors.js";
import type { JobSpec } from "./gen/protojobs/v1/job_pb.js";
import { DispatchBatchRequestSchema, DispatchRequestSchema } from "./gen/protojobs/v1/job_service_pb.js";
import type { JobIds } from "./ids.js";
import type { JobOptions, JobRequest } from "./job.js";
import type { Dispatched, DispatchResult } from "./models.js";
import { readDispatched, readResult } from "./parse.js";
import type { Codec } from "./payload.js";
import { DispatchPipe } from "./pipe.js";
import { DEFAULT_QUEUE, sizeOf, toSpec, withTrace } from "./spec.js";
import { translate } from "./statuses.js";
import { beginSending, type Sending } from "./telemetry.js";

const BATCHES_AT_ONCE = 4;

/** How many jobs are stored. */
export interface DispatchManyOptions {
  /** All or none; they must then fit into one message. Default false. */
  readonly atomic?: boolean | undefined;
}

/**
 * The part of the client that stores jobs.
 *
 * Every id is chosen here, so each call may be repeated without storing a job twice: by its own retries, and by callers
 * who give `id` themselves.
 */
export abstract class DispatchCalls extends Calls {
  protected readonly pipe: DispatchPipe;

  constructor(connection: Connection, codec: Codec, ids: JobIds) {
    super(connection, codec, ids);
    this.pipe = new DispatchPipe(connection, (specs) => this.#send(specs));
  }

  /**
   * Stores one job and returns its id, once the server has committed. Concurrent calls share one stream.
   *
   * @throws ProtoJobsError (DuplicateJobError, QueueFullError, UnavailableError, ...), TypeError for data that is not JSON.
   */
  dispatch(kind: string, data?: unknown, options?: JobOptions): Promise<Dispatched>;
  dispatch(request: JobRequest): Promise<Dispatched>;
  async dispatch(job: string | JobRequest, data?: unknown, options: JobOptions = {}): Promise<Dispatched> {
    const request = typeof job === "string" ? { ...options, kind: job, data } : job;
    this.connection.checkOpen();
    return traced(await this.#begin("dispatch", request.queue, 1), async ({ trace }) => {
      const result = await this.#submitLearning(request, trace);
      if ("error" in result) throw result.error;
      return result;
    });
  }

  /**
   * Stores many jobs; returns what became of each, in order, in batches of up to 1000.
   *
   * A refused job is a `Refused` with its error and id; with `atomic` one refused job throws its error.
   *
   * @throws TypeError for data that is not JSON, before anything is sent; RangeError for an atomic batch that is too large.
   */
  async dispatchMany(jobs: Iterable<JobRequest>, options: DispatchManyOptions = {}): Promise<DispatchResult[]> {
    const requests = [...jobs];
    this.connection.checkOpen();
    const queue = requests[0]?.queue;
    return traced(await this.#begin("dispatch_batch", queue, requests.length), async ({ trace }) => {
      const items = requests.map((request) => this.#item(request, trace));
      if (options.atomic === true) return this.#sendAtomic(requests, items, trace);
      const results = await this.#sendBatches(items);
      const again = results.flatMap((result, index) => {
        const request = requests[index];
        return request !== undefined && "error" in result && this.learned(request, result.error) ? [index] : [];
      });
      const repeated = await this.#sendBatches(
        again.flatMap((index) => {
          const request = requests[index];
          return request === undefined ? [] : [this.#item(request, trace)];
        }),
      );
      again.forEach((index, place) => {
        const result = repeated[place];
        if (result !== undefined) results[index] = result;
      });
      return results;
    });
  }

  /**
   * Stores one job of which one has the message, as it is; an empty id gets one. For relays and tools.
   *
   * @throws ProtoJobsError
   */
  async dispatchSpec(spec: JobSpec): Promise<Dispatched> {
    const result = await this.pipe.submit(this.#sized(this.#named(spec)), this.connection.options.callTimeout);
    if ("error" in result) throw result.error;
    return result;
  }

  /** Stores many jobs of which one has the messages, as `dispatchMany` does; empty ids get one. */
  async dispatchSpecs(specs: Iterable<JobSpec>, options: DispatchManyOptions = {}): Promise<DispatchResult[]> {
    const items = [...specs].map((spec) => this.#sized(this.#named(spec)));
    return options.atomic === true ? this.#sendAtomic([], items, {}) : this.#sendBatches(items);
  }

  /** Builds the spec with an id and the trace context. */
  protected specOf(request: JobRequest, trace: Sending["trace"]): JobSpec {
    return toSpec(request, request.id ?? this.ids.next(), withTrace(request.headers, trace), this.codec);
  }

  /** Takes the server's time from a refused id of ours; tells whether another id may do better. */
  protected learned(request: JobRequest, error: ProtoJobsError): boolean {
    if (!(error instanceof JobIdTimeError) || request.id !== undefined || error.serverTime === undefined) return false;
    this.ids.learn(error.serverTime);
    return true;
  }

  #begin(name: string, queue: string | undefined, jobs: number): Promise<Sending> {
    return beginSending(name, queue ?? DEFAULT_QUEUE, jobs, this.connection.options.baggage);
  }

  async #submitLearning(request: JobRequest, trace: Sending["trace"]): Promise<DispatchResult> {
    const patience = this.connection.options.callTimeout;
    const result = await this.pipe.submit(this.#item(request, trace), patience);
    if (!("error" in result) || !this.learned(request, result.error)) return result;
    return this.pipe.submit(this.#item(request, trace), patience);
  }

  #item(request: JobRequest, trace: Sending["trace"]): Sized {
    return this.#sized(this.specOf(request, trace));
  }

  #named(spec: JobSpec): JobSpec {
    return spec.id === "" ? { ...spec, id: this.ids.next() } : spec;
  }

  #sized(spec: JobSpec): Sized {
    const size = sizeOf(spec);
    const limit = room(this.connection.options.maxMessageBytes);
    if (size > limit) {
      const metadata = { limit: String(limit), size: String(size) };
      throw new PayloadTooLargeError("the job is larger than a message may be", {
        reason: "PAYLOAD_TOO_LARGE",
        metadata,
      });
    }
    return { spec, size };
  }

  /** Sends specs in batches, a few at once. The error of a whole batch becomes that of each of its items. */
  async #sendBatches(items: readonly Sized[]): Promise<DispatchResult[]> {
    const waiting = batches(items, room(this.connection.options.maxMessageBytes));
    const results: DispatchResult[][] = waiting.map(() => []);
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let place = next++; place < waiting.length; place = next++) {
        const specs = waiting[place] ?? [];
        results[place] = await this.#sendBatch(specs, false).catch((error: unknown) =>
          specs.map(({ id }) => ({ jobId: id, error: translate(error) })),
        );
      }
    };
    await Promise.all(Array.from({ length: Math.min(BATCHES_AT_ONCE, waiting.length) }, lane));
    return results.flat();
  }

  async #sendAtomic(
    requests: readonly JobRequest[],
    items: readonly Sized[],
    trace: Sending["trace"],
  ): Promise<DispatchResult[]> {
    if (items.length === 0) return [];
    const bytes = items.reduce((sum, { size }) => sum + size, 0);
    if (items.length > MAX_ITEMS || bytes > room(this.connection.options.maxMessageBytes)) {
      throw new RangeError(`an atomic batch must fit into one message of at most ${String(MAX_ITEMS)} jobs`);
    }
    const specs = items.map(({ spec }) => spec);
    try {
      return await this.#sendBatch(specs, true);
    } catch (error) {
      const told = translate(error);
      if (!requests.some((request) => this.learned(request, told))) throw told;
      return this.#sendBatch(
        requests.map((request) => this.specOf(request, trace)),
        true,
      );
    }
  }

  async #sendBatch(specs: JobSpec[], atomic: boolean): Promise<DispatchResult[]> {
    const request = create(DispatchBatchRequestSchema, { specs, atomic });
    const deadline = this.connection.options.dispatchDeadline;
    const answer = await this.connection.call(({ jobs }, options) => jobs.dispatchBatch(request, options), {
      deadline,
    });
    return answer.results.map((result, index) => readResult(result, specs[index]?.id ?? ""));
  }

  /** Sends specs without a stream. */
  async #send(specs: JobSpec[]): Promise<DispatchResult[]> {
    const [spec, ...others] = specs;
    if (spec === undefined || others.length > 0) return this.#sendBatch(specs, false);
    const request = create(DispatchRequestSchema, { spec });
    const deadline = this.connection.options.dispatchDeadline;
    const answer = await this.connection.call(({ jobs }, options) => jobs.dispatch(request, options), { deadline });
    return [readDispatched(answer.jobId, answer.outcome, answer.state)];
  }
}

async function traced<T>(sending: Sending, work: (sending: Sending) => Promise<T>): Promise<T> {
  try {
    const result = await work(sending);
    sending.ended();
    return result;
  } catch (error) {
    sending.ended(error);
    throw error;
  }
}

import { create } from "@bufbuild/protobuf";

import { Connection } from "./connection.js";
import { GetServerInfoRequestSchema } from "./gen/protojobs/v1/server_service_pb.js";
import * as wire from "./gen/protojobs/v1/schedule_service_pb.js";
import { JobIds } from "./ids.js";
import type { JobOptions } from "./job.js";
import { resolveOptions, type ConnectionOptions } from "./options.js";
import { plainCodec, type Codec } from "./payload.js";
import { Queues } from "./queues.js";
import { Schedules } from "./schedules.js";
import { beginSending } from "./telemetry.js";
import { DEFAULT_QUEUE } from "./spec.js";
import { translate } from "./statuses.js";
import { dateOf, toDuration, toTimestamp, type Seconds } from "./time.js";
import { WatchCalls } from "./watching.js";
import { Workers } from "./workers.js";

const CLOSE_GRACE: Seconds = 5;

/** Settings of a client. */
export interface ClientOptions extends ConnectionOptions {
  /** What happens to payloads and results on their way; default nothing. */
  readonly codec?: Codec | undefined;
}

/** What the server is and can do. */
export interface ServerInfo {
  readonly version: string;
  readonly driver: string;
  readonly serverId: string;
  readonly serverTime: Date | undefined;
  readonly capabilities: readonly { readonly name: string; readonly available: boolean; readonly reason: string }[];
}

/**
 * Dispatches jobs and looks at them. Make one per process and keep it; `close` it at the end, or the process lives on.
 *
 * ```ts
 * const client = new Client("127.0.0.1:50051");
 * const { jobId } = await client.dispatch("send_email", { to: "ann@example.com" }, { queue: "emails" });
 * const result = await client.wait(jobId, { timeout: 60 });
 * await client.close();
 * ```
 */
export class Client extends WatchCalls {
  /** Queues. */
  readonly queues: Queues;
  /** Schedules that repeat. */
  readonly schedules: Schedules;
  /** Live workers. */
  readonly workers: Workers;

  /**
   * Describes a client; nothing connects before the first call.
   *
   * @param options An address, or settings; what they leave out comes from PROTOJOBS_* of the environment.
   * @throws RangeError or TypeError for settings that cannot work.
   */
  constructor(options: ClientOptions | string = {}) {
    const connection = new Connection(resolveOptions(options));
    const codec = (typeof options === "string" ? undefined : options.codec) ?? plainCodec;
    const ids = new JobIds();
    super(connection, codec, ids);
    this.queues = new Queues(connection, codec, ids);
    this.schedules = new Schedules(connection, codec, ids);
    this.workers = new Workers(connection, codec, ids);
  }

  /** Schedules one job for a time and returns its id. A time in the past means at once. */
  scheduleAt(kind: string, data: unknown, at: Date, options: JobOptions = {}): Promise<string> {
    return this.#scheduleOnce(kind, data, options, { case: "at", value: toTimestamp(at) });
  }

  /** Schedules one job for `wait` seconds after the server has stored it, and returns its id. */
  scheduleIn(kind: string, data: unknown, wait: Seconds, options: JobOptions = {}): Promise<string> {
    return this.#scheduleOnce(kind, data, options, { case: "in", value: toDuration(wait) });
  }

  /** Returns what the server is and can do. */
  async serverInfo(): Promise<ServerInfo> {
    const request = create(GetServerInfoRequestSchema);
    const answer = await this.connection.call(({ server }, options) => server.getServerInfo(request, options));
    return {
      version: answer.version,
      driver: answer.driver,
      serverId: answer.serverId,
      serverTime: dateOf(answer.serverTime),
      capabilities: answer.capabilities.map(({ name, available, reason }) => ({ name, available, reason })),
    };
  }

  /** Finishes dispatches that are under way, for at most 5 s, and ends the connection. May be repeated. */
  async close(): Promise<void> {
    await this.pipe.close(CLOSE_GRACE);
    this.connection.close();
  }

  /** Closes the client at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #scheduleOnce(
    kind: string,
    data: unknown,
    options: JobOptions,
    when: wire.ScheduleSpec["when"],
  ): Promise<string> {
    if (options.delay !== undefined || options.runAt !== undefined) {
      throw new TypeError("a scheduled job takes no delay or runAt");
    }
    const request = { ...options, kind, data };
    const { baggage, dispatchDeadline: deadline } = this.connection.options;
    const sending = await beginSending("schedule", options.queue ?? DEFAULT_QUEUE, 1, baggage);
    const once = async (): Promise<string> => {
      const spec = create(wire.ScheduleSpecSchema, { when });
      const schedule = create(wire.ScheduleSchema, { spec, job: this.specOf(request, sending.trace) });
      const message = create(wire.ScheduleRequestSchema, { schedule });
      const answer = await this.connection.call(({ schedules }, call) => schedules.schedule(message, call), {
        deadline,
      });
      return answer.jobId;
    };
    try {
      const jobId = await once().catch((error: unknown) => {
        if (!this.learned(request, translate(error))) throw error;
        return once();
      });
      sending.ended();
      return jobId;
    } catch (error) {
      sending.ended(error);
      throw error;
    }
  }
}

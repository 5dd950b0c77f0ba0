import { create } from "@bufbuild/protobuf";

import { toFilter, type JobFilter } from "./filter.js";
import { WatchJobsRequestSchema, type WatchJobsResponse } from "./gen/protojobs/v1/job_service_pb.js";
import { JobCalls } from "./jobs.js";
import type { JobEvent, JobState } from "./models.js";
import { readEvent } from "./parse.js";
import { Watch } from "./watch.js";

// The server speaks every 10 s.
const SILENCE_SECONDS = 35;

/** Names of events, with the states that they lead to. */
const STATES = {
  "job.processing": ["RUNNING"],
  "job.progress": ["RUNNING"],
  "job.processed": ["COMPLETED"],
  "job.failed": ["FAILED"],
  "job.retrying": ["RETRYING"],
  "job.cancelled": ["CANCELLED"],
  "job.expired": ["EXPIRED"],
} as const satisfies Readonly<Record<string, readonly JobState[]>>;

/** Name of an event that can be listened for. */
export type EventName = keyof typeof STATES;

/** Which events; `states` are those that events lead to. */
export interface WatchOptions extends Omit<JobFilter, "parent"> {
  /** Goes on behind this place, which is not older than 24 h. Default from now. */
  readonly cursor?: Uint8Array | undefined;
}

/** What calls back for events. */
export interface Listener {
  /** The place behind the last event that the callback is done with: keep it to go on there later. */
  readonly cursor: Uint8Array;
  /** Settles when it has ended: after `stop`, or with what `watchJobs` throws. */
  readonly ended: Promise<void>;
  /** Ends it, after the callback that is under way. */
  stop(): Promise<void>;
}

/** The part of the client about what happens. */
export abstract class WatchCalls extends JobCalls {
  /**
   * Iterates over events, from when `begin()` has returned or the first is asked for, or behind a `cursor`.
   *
   * What ends or retries a job comes without a gap, as long as the cursor is not older than 24 h (CursorExpiredError).
   * Starts and progress come where the queue's setting `events` is ALL.
   */
  watchJobs(options: WatchOptions = {}): Watch<JobEvent, WatchJobsResponse> {
    const filter = toFilter(options);
    return new Watch<JobEvent, WatchJobsResponse>(
      this.connection,
      {
        silence: SILENCE_SECONDS,
        start: ({ jobs }, cursor, call) => jobs.watchJobs(create(WatchJobsRequestSchema, { filter, cursor }), call),
        read: ({ events, cursor }) => ({
          items: events.flatMap((event) => {
            const item = readEvent(event);
            return item === undefined ? [] : [{ item, cursor: event.cursor }];
          }),
          cursor,
        }),
      },
      options.cursor,
    );
  }

  /**
   * Calls back with each event of this name, from now on or behind a `cursor`; returns once it listens. An error of the
   * callback is logged, and the next event comes.
   *
   * @throws what `watchJobs` throws.
   */
  async listen(
    name: EventName,
    callback: (event: JobEvent) => unknown,
    options: Omit<WatchOptions, "states"> = {},
  ): Promise<Listener> {
    const events = this.watchJobs({ ...options, states: STATES[name] });
    await events.begin();
    const { logger } = this.connection.options;
    let cursor = events.cursor;
    const run = async (): Promise<void> => {
      for await (const event of events) {
        try {
          if (event.type === name) await callback(event);
        } catch (error) {
          logger.error("listener failed", { event: name, error: error instanceof Error ? error.name : typeof error });
        }
        cursor = event.cursor;
      }
    };
    const ended = run();
    // Whoever does not look at `ended` must not be killed by it.
    ended.catch(() => undefined);
    return {
      get cursor() {
        return cursor;
      },
      ended,
      stop: async () => {
        events.close();
        await ended;
      },
    };
  }
}

import { create } from "@bufbuild/protobuf";
import { FieldMaskSchema } from "@bufbuild/protobuf/wkt";

import { Calls, pages } from "./calls.js";
import * as wire from "./gen/protojobs/v1/queue_service_pb.js";
import type { JobState } from "./models.js";
import { toState } from "./parse.js";
import {
  applySettings,
  readQueue,
  readStats,
  type QueueInfo,
  type QueueSettings,
  type QueueStats,
} from "./queue_models.js";
import { toDuration, toTimestamp, type Seconds } from "./time.js";
import { Watch } from "./watch.js";

const SILENCE_SECONDS = 35;

/** What to clear. */
export interface ClearOptions {
  /** Default SCHEDULED, PENDING and RETRYING; never RUNNING. */
  readonly states?: readonly JobState[] | undefined;
  /** Only those created before, default now. */
  readonly before?: Date | undefined;
  /** Count only. */
  readonly dryRun?: boolean | undefined;
}

/** Queues: a queue exists when it is first used. Unless said otherwise: throws QueueNotFoundError. */
export class Queues extends Calls {
  /** Iterates over the queues by name. */
  list({ pageSize = 100 }: { readonly pageSize?: number } = {}): AsyncGenerator<QueueInfo, void, undefined> {
    return pages(async (pageToken) => {
      const request = create(wire.ListQueuesRequestSchema, { pageSize, pageToken });
      const answer = await this.connection.call(({ queues }, options) => queues.listQueues(request, options));
      return { items: answer.queues.map(readQueue), next: answer.nextPageToken };
    });
  }

  /** Returns one queue. */
  async get(queue: string): Promise<QueueInfo> {
    const request = create(wire.GetQueueRequestSchema, { queue });
    return readQueue((await this.connection.call(({ queues }, options) => queues.getQueue(request, options))).queue);
  }

  /** Changes the settings that are named, null to their defaults, and makes the queue if it is new. */
  async update(name: string, settings: QueueSettings): Promise<QueueInfo> {
    const queue = create(wire.QueueSchema, { name });
    const updateMask = create(FieldMaskSchema, { paths: applySettings(queue, settings) });
    const request = create(wire.UpdateQueueRequestSchema, { queue, updateMask });
    return readQueue((await this.connection.call(({ queues }, options) => queues.updateQueue(request, options))).queue);
  }

  /** Stops leasing from a queue; running jobs go on. */
  async pause(queue: string): Promise<void> {
    const request = create(wire.PauseQueueRequestSchema, { queue });
    await this.connection.call(({ queues }, options) => queues.pauseQueue(request, options));
  }

  /** Leases from a queue again. */
  async resume(queue: string): Promise<void> {
    const request = create(wire.ResumeQueueRequestSchema, { queue });
    await this.connection.call(({ queues }, options) => queues.resumeQueue(request, options));
  }

  /** Removes an empty queue, or with `force` its waiting and final jobs too. Throws QueueNotEmptyError, JobRunningError. */
  async delete(queue: string, { force = false }: { readonly force?: boolean } = {}): Promise<void> {
    const request = create(wire.DeleteQueueRequestSchema, { queue, force });
    await this.connection.call(({ queues }, options) => queues.deleteQueue(request, options));
  }

  /** Deletes jobs of a queue and returns how many; with `dryRun` only counts them. */
  async clear(queue: string, options: ClearOptions = {}): Promise<number> {
    let deleted = 0;
    let continuationToken = "";
    do {
      const request = create(wire.ClearQueueRequestSchema, {
        queue,
        states: (options.states ?? []).map(toState),
        validateOnly: options.dryRun ?? false,
        continuationToken,
        ...(options.before === undefined ? {} : { before: toTimestamp(options.before) }),
      });
      const answer = await this.connection.call(({ queues }, call) => queues.clearQueue(request, call));
      deleted += Number(answer.deleted);
      continuationToken = answer.continuationToken;
    } while (continuationToken !== "");
    return deleted;
  }

  /** Returns the numbers of one queue, or of all by name. */
  async stats(queue = ""): Promise<QueueStats[]> {
    const request = create(wire.StatsRequestSchema, { queue });
    const answer = await this.connection.call(({ queues }, options) => queues.stats(request, options));
    return answer.queues.map(readStats);
  }

  /** Iterates over the numbers of one queue, or of all, at this distance (1 to 60 s). */
  watchStats(
    queue = "",
    { interval = 2 }: { readonly interval?: Seconds } = {},
  ): Watch<QueueStats[], wire.WatchStatsResponse> {
    const request = create(wire.WatchStatsRequestSchema, { queue, interval: toDuration(interval) });
    const nowhere = new Uint8Array();
    return new Watch<QueueStats[], wire.WatchStatsResponse>(this.connection, {
      silence: SILENCE_SECONDS + interval,
      start: ({ queues }, _cursor, options) => queues.watchStats(request, options),
      read: ({ stats }) => ({
        items: [{ item: (stats?.queues ?? []).map(readStats), cursor: nowhere }],
        cursor: nowhere,
      }),
    });
  }
}

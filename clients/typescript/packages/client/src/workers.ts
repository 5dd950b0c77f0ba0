import { create } from "@bufbuild/protobuf";

import { Calls, pages } from "./calls.js";
import * as wire from "./gen/protojobs/v1/worker_service_pb.js";
import { dateOf, toDuration, type Seconds } from "./time.js";

/** A live worker session. */
export interface WorkerInfo {
  /** Public number of the session, for `drain`. */
  readonly session: string;
  readonly worker: string;
  readonly sdk: string;
  readonly sdkVersion: string;
  readonly queues: readonly string[];
  /** Empty means all. */
  readonly kinds: readonly string[];
  readonly slotsTotal: number;
  readonly slotsUsed: number;
  readonly heartbeatAt: Date | undefined;
  readonly startedAt: Date | undefined;
  readonly running: readonly {
    readonly jobId: string;
    readonly kind: string;
    readonly queue: string;
    readonly attempt: number;
    readonly startedAt: Date | undefined;
  }[];
  readonly draining: boolean;
}

/** Live workers. */
export class Workers extends Calls {
  /** Iterates over the workers, of one queue or of all; the oldest session first. */
  list({ queue = "", pageSize = 100 }: { readonly queue?: string; readonly pageSize?: number } = {}): AsyncGenerator<
    WorkerInfo,
    void,
    undefined
  > {
    return pages(async (pageToken) => {
      const request = create(wire.ListWorkersRequestSchema, { queue, pageSize, pageToken });
      const answer = await this.connection.call(({ workers }, options) => workers.listWorkers(request, options));
      return { items: answer.workers.map(readWorker), next: answer.nextPageToken };
    });
  }

  /** Asks a worker to finish within `deadline` seconds (default 300) and leave. Throws SessionNotFoundError. */
  async drain(session: string, { deadline }: { readonly deadline?: Seconds } = {}): Promise<void> {
    const request = create(wire.DrainWorkerRequestSchema, {
      session,
      ...(deadline === undefined ? {} : { deadline: toDuration(deadline) }),
    });
    await this.connection.call(({ workers }, options) => workers.drainWorker(request, options));
  }
}

function readWorker(worker: wire.Worker): WorkerInfo {
  return {
    session: worker.session,
    worker: worker.worker,
    sdk: worker.sdk,
    sdkVersion: worker.sdkVersion,
    queues: worker.queues,
    kinds: worker.kinds,
    slotsTotal: worker.slotsTotal,
    slotsUsed: worker.slotsUsed,
    heartbeatAt: dateOf(worker.heartbeatTime),
    startedAt: dateOf(worker.startTime),
    running: worker.running.map(({ jobId, kind, queue, attempt, startTime }) => ({
      jobId,
      kind,
      queue,
      attempt,
      startedAt: dateOf(startTime),
    })),
    draining: worker.draining,
  };
}

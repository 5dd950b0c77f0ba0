/* Frames of the Lease stream from plain values. */
import { create } from "@bufbuild/protobuf";
import { toDuration, type Seconds } from "@protojobs/client/connecting";
import {
  GoodbyeMode,
  LeaseRequestSchema,
  QueueOrder,
  ReleaseReason,
  SettleItemSchema,
  UpdateItemSchema,
  type LeaseRequest,
  type SettleItem,
  type UpdateItem,
} from "@protojobs/client/proto";

import type { Attempt } from "./attempt.js";
import type { DeliveredJob } from "./delivered.js";
import type { Lease } from "./ledger.js";
import { COMPLETED, cut, type Outcome } from "./outcomes.js";
import { settleFrame } from "./settle_frame.js";
import { VERSION } from "./version.js";

/** A lease of a job as it came over the wire. */
export type WireLease = Lease<DeliveredJob, Attempt>;

/** Most outcomes in one frame. */
export const MAX_SETTLES = 10_000;
/** Most updates in one frame. */
export const MAX_UPDATES = 1000;

const LONGEST_DELAY: Seconds = 365 * 24 * 3600;
const MAX_NAME_BYTES = 128;

/** What Hello says. */
export interface Introduction {
  readonly sessionId: Uint8Array;
  readonly worker: string;
  readonly queues: ReadonlyMap<string, number>;
  readonly strict: boolean;
  readonly kinds: readonly string[];
  readonly window: number;
  readonly slots: number;
  readonly streamNo: number;
  readonly held: Iterable<WireLease>;
  readonly now: Seconds;
  readonly sessionTtl: Seconds | undefined;
}

/** Something that the session has to say of a running attempt. */
export interface UpdateNews {
  readonly lease: WireLease;
  readonly progress: Progress | undefined;
  readonly checkpoint: Uint8Array | undefined;
}

/** How far a handler says it is; ratio is 0 to 1. */
export interface Progress {
  readonly ratio: number;
  readonly message: string;
}

/** Builds the first frame of a stream. */
export function hello(told: Introduction): LeaseRequest {
  return create(LeaseRequestSchema, {
    frame: {
      case: "hello",
      value: {
        sessionId: told.sessionId,
        worker: cut(told.worker, MAX_NAME_BYTES),
        sdk: "protojobs-typescript",
        sdkVersion: VERSION,
        queues: [...told.queues].map(([name, weight]) => ({ name, weight })),
        queueOrder: told.strict ? QueueOrder.STRICT : QueueOrder.WEIGHTED,
        kinds: [...told.kinds],
        window: { maxInFlight: told.window },
        slots: told.slots,
        streamNo: BigInt(told.streamNo),
        held: [...told.held].map(({ jobId, attempt, beganAt }) => ({
          jobId,
          attempt,
          started: beganAt !== undefined,
          ...(beganAt === undefined ? {} : { elapsed: toDuration(Math.max(0, told.now - beganAt)) }),
        })),
        ...(told.sessionTtl === undefined ? {} : { sessionTtl: toDuration(told.sessionTtl) }),
      },
    },
  });
}

/** Builds a frame of outcomes; completions without a result take the short form. */
export function settle(leases: readonly WireLease[]): LeaseRequest {
  const items: SettleItem[] = [];
  const completed = new Map<number, string[]>();
  for (const { jobId, attempt, outcome } of leases) {
    if (outcome === COMPLETED) {
      const group = completed.get(attempt);
      if (group === undefined) completed.set(attempt, [jobId]);
      else group.push(jobId);
    } else if (outcome !== undefined) {
      items.push(create(SettleItemSchema, { jobId, attempt, outcome: toOutcome(outcome) }));
    }
  }
  return settleFrame(items, completed);
}

/** Builds a frame of progress and checkpoints. */
export function update(news: readonly UpdateNews[]): LeaseRequest {
  const items: UpdateItem[] = news.map(({ lease, progress, checkpoint }) =>
    create(UpdateItemSchema, {
      jobId: lease.jobId,
      attempt: lease.attempt,
      ...(progress === undefined ? {} : { progress: { ratio: progress.ratio, message: progress.message } }),
      ...(checkpoint === undefined ? {} : { checkpoint }),
    }),
  );
  return create(LeaseRequestSchema, { frame: { case: "update", value: { items } } });
}

/** Builds a frame that says how much there is room for. */
export function window(maxInFlight: number): LeaseRequest {
  return create(LeaseRequestSchema, { frame: { case: "window", value: { maxInFlight } } });
}

/** Builds the frame that announces a worker's leaving once it has finished what runs. */
export function goodbye(deadline: Seconds): LeaseRequest {
  return create(LeaseRequestSchema, {
    frame: { case: "goodbye", value: { mode: GoodbyeMode.FINISH, deadline: toDuration(deadline) } },
  });
}

/** Builds a heartbeat. */
export function ping(): LeaseRequest {
  return create(LeaseRequestSchema, { frame: { case: "ping", value: {} } });
}

type OutcomeInit = NonNullable<Parameters<typeof create<typeof SettleItemSchema>>[1]>["outcome"];

function toOutcome(outcome: Outcome): NonNullable<OutcomeInit> {
  switch (outcome.kind) {
    case "completed":
      return {
        case: "complete",
        value: {
          dispatch: [...outcome.dispatch],
          ...(outcome.result === undefined ? {} : { result: outcome.result }),
        },
      };
    case "failed": {
      const { retryAfter, checkpoint } = outcome;
      return {
        case: "fail",
        value: {
          error: { ...outcome.error },
          ...(outcome.retryable ? {} : { retryable: false }),
          ...(retryAfter === undefined ? {} : { retryAfter: toDuration(Math.min(retryAfter, LONGEST_DELAY)) }),
          ...(checkpoint === undefined ? {} : { checkpoint }),
        },
      };
    }
    case "snoozed":
      return { case: "snooze", value: { delay: toDuration(Math.min(outcome.delay, LONGEST_DELAY)) } };
    case "released":
      return { case: "release", value: { reason: ReleaseReason[outcome.reason] } };
    case "cancelled":
      return { case: "cancelled", value: {} };
  }
}

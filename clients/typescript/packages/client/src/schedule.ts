import { create, type MessageInitShape } from "@bufbuild/protobuf";

import * as wire from "./gen/protojobs/v1/schedule_service_pb.js";
import type { JobRequest } from "./job.js";
import type { Codec } from "./payload.js";
import { DEFAULT_QUEUE, toSpec } from "./spec.js";
import { dateOf, secondsOf, spanOf, toDuration, toTimestamp, type Seconds } from "./time.js";

/** A day of the week. */
export type Weekday = "MONDAY" | "TUESDAY" | "WEDNESDAY" | "THURSDAY" | "FRIDAY" | "SATURDAY" | "SUNDAY";

/**
 * When a schedule ticks: at a fixed distance in elapsed time, by five cron fields (or @hourly, @daily, @weekly,
 * @monthly), or at local times "HH:MM" of each day or of some days. A local time that the change of the clocks skips
 * runs at the change; one that comes twice runs once.
 */
export type When =
  | { readonly every: Seconds; readonly anchor?: Date | undefined }
  | { readonly cron: string }
  | { readonly daily: readonly string[] }
  | { readonly weekly: { readonly days: readonly Weekday[]; readonly times: readonly string[] } };

/** A schedule to declare. */
export interface ScheduleRequest {
  /** What each tick dispatches; takes no id, delay or runAt. */
  readonly job: JobRequest;
  /** When. */
  readonly when: When;
  /** Default: kind and a hash of what it does and when, so that the same declaration is the same schedule. */
  readonly name?: string | undefined;
  /** IANA name, default UTC; for cron, daily and weekly. */
  readonly timeZone?: string | undefined;
  /** No tick before. */
  readonly startAt?: Date | undefined;
  /** No tick at or after. */
  readonly endAt?: Date | undefined;
  /** Each tick is late by a random part of it, at most 3600. */
  readonly jitter?: Seconds | undefined;
  /** Which ticks run of those that were missed while no server was there; `max` is for ALL. */
  readonly catchup?:
    | { readonly mode: "SKIP" | "LAST" | "ALL"; readonly max?: number; readonly window?: Seconds }
    | undefined;
  /** What happens to a tick while the job of the previous one is not final. Default ALLOW. */
  readonly overlap?: "ALLOW" | "SKIP" | "BUFFER_ONE" | "CANCEL_OLD" | undefined;
  /** Does not tick. false leaves a paused schedule paused. */
  readonly paused?: boolean | undefined;
  /** Of the schedule as it was read: refused if it has changed since. */
  readonly etag?: string | undefined;
}

/** A stored schedule. `when` is undefined for a kind of schedule of a later version. nextAt undefined: it ticks no more. */
export interface ScheduleInfo {
  readonly name: string;
  readonly when: When | undefined;
  readonly timeZone: string;
  readonly startAt: Date | undefined;
  readonly endAt: Date | undefined;
  readonly jitter: Seconds;
  readonly kind: string;
  readonly queue: string;
  readonly payload: Uint8Array;
  readonly paused: boolean;
  readonly etag: string;
  readonly nextAt: Date | undefined;
  readonly lastAt: Date | undefined;
  readonly lastJobId: string | undefined;
  readonly createdAt: Date | undefined;
}

type WireWhen = NonNullable<MessageInitShape<typeof wire.ScheduleSpecSchema>["when"]>;

/** Writes a schedule. No id and no trace context: the same declaration is the same message. */
export function toSchedule(request: ScheduleRequest, codec: Codec): wire.Schedule {
  const { job, catchup } = request;
  if (job.id !== undefined || job.delay !== undefined || job.runAt !== undefined) {
    throw new TypeError("jobs of a schedule take no id, delay or runAt");
  }
  const spec = create(wire.ScheduleSpecSchema, {
    when: toWhen(request.when),
    timeZone: request.timeZone ?? "",
    ...(request.startAt === undefined ? {} : { startTime: toTimestamp(request.startAt) }),
    ...(request.endAt === undefined ? {} : { endTime: toTimestamp(request.endAt) }),
    ...(request.jitter === undefined ? {} : { jitter: toDuration(request.jitter) }),
  });
  return create(wire.ScheduleSchema, {
    name: request.name ?? "",
    spec,
    job: toSpec(job, "", job.headers ?? {}, codec),
    catchup: {
      mode: wire.CatchupMode[catchup?.mode ?? "LAST"],
      max: catchup?.max ?? 100,
      window: toDuration(catchup?.window ?? 3600),
    },
    overlap: wire.OverlapMode[request.overlap ?? "ALLOW"],
    paused: request.paused ?? false,
    etag: request.etag ?? "",
  });
}

/** Writes when a schedule ticks. */
export function toWhen(when: When): WireWhen {
  if ("every" in when) {
    const anchor = when.anchor === undefined ? {} : { anchor: toTimestamp(when.anchor) };
    return { case: "every", value: { interval: toDuration(when.every), ...anchor } };
  }
  if ("cron" in when) return { case: "cron", value: when.cron };
  if ("daily" in when) return { case: "daily", value: { times: [...when.daily] } };
  const { days, times } = when.weekly;
  return { case: "weekly", value: { days: days.map((day) => wire.Weekday[day]), times: [...times] } };
}

/** Reads a schedule. */
export function readSchedule(schedule: wire.Schedule | undefined): ScheduleInfo {
  const spec = schedule?.spec;
  return {
    name: schedule?.name ?? "",
    when: spec && readWhen(spec),
    timeZone: spec?.timeZone ?? "",
    startAt: dateOf(spec?.startTime),
    endAt: dateOf(spec?.endTime),
    jitter: spanOf(spec?.jitter) ?? 0,
    kind: schedule?.job?.kind ?? "",
    queue: schedule?.job?.queue || DEFAULT_QUEUE,
    payload: schedule?.job?.payload ?? new Uint8Array(),
    paused: schedule?.paused ?? false,
    etag: schedule?.etag ?? "",
    nextAt: dateOf(schedule?.nextTime),
    lastAt: dateOf(schedule?.lastTime),
    lastJobId: schedule?.lastJobId || undefined,
    createdAt: dateOf(schedule?.createTime),
  };
}

function readWhen({ when }: wire.ScheduleSpec): When | undefined {
  switch (when.case) {
    case "every":
      return { every: when.value.interval ? secondsOf(when.value.interval) : 0, anchor: dateOf(when.value.anchor) };
    case "cron":
      return { cron: when.value };
    case "daily":
      return { daily: when.value.times };
    case "weekly":
      return {
        weekly: {
          days: when.value.days.flatMap((day) =>
            day === wire.Weekday.UNSPECIFIED ? [] : [wire.Weekday[day] as Weekday],
          ),
          times: when.value.times,
        },
      };
    default:
      return undefined;
  }
}

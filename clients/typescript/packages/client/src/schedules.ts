import { create } from "@bufbuild/protobuf";

import { Calls, pages } from "./calls.js";
import * as wire from "./gen/protojobs/v1/schedule_service_pb.js";
import { readSchedule, toSchedule, toWhen, type ScheduleInfo, type ScheduleRequest, type When } from "./schedule.js";
import { dateOf, toTimestamp } from "./time.js";

/** Which ticks to preview. */
export interface PreviewOptions {
  /** IANA name, default UTC. */
  readonly timeZone?: string | undefined;
  /** 1 to 100, default 5. */
  readonly count?: number | undefined;
  /** From when on, default now. */
  readonly from?: Date | undefined;
}

/** Schedules that repeat. The same declaration again is the same schedule. Unless said otherwise: throws ScheduleNotFoundError. */
export class Schedules extends Calls {
  /**
   * Makes or changes a schedule by its name.
   *
   * @throws InvalidArgumentError for what never ticks, ConflictError for an etag that does not match.
   */
  async put(request: ScheduleRequest, { dryRun = false }: { readonly dryRun?: boolean } = {}): Promise<ScheduleInfo> {
    const message = create(wire.ScheduleRequestSchema, {
      schedule: toSchedule(request, this.codec),
      validateOnly: dryRun,
    });
    const deadline = this.connection.options.dispatchDeadline;
    const answer = await this.connection.call(({ schedules }, options) => schedules.schedule(message, options), {
      deadline,
    });
    return readSchedule(answer.schedule);
  }

  /** Iterates over the schedules by name. */
  list({ pageSize = 100 }: { readonly pageSize?: number } = {}): AsyncGenerator<ScheduleInfo, void, undefined> {
    return pages(async (pageToken) => {
      const request = create(wire.ListSchedulesRequestSchema, { pageSize, pageToken });
      const answer = await this.connection.call(({ schedules }, options) => schedules.listSchedules(request, options));
      return { items: answer.schedules.map(readSchedule), next: answer.nextPageToken };
    });
  }

  /** Returns one schedule. */
  async get(name: string): Promise<ScheduleInfo> {
    const request = create(wire.GetScheduleRequestSchema, { name });
    return readSchedule(
      (await this.connection.call(({ schedules }, options) => schedules.getSchedule(request, options))).schedule,
    );
  }

  /** Stops its ticks. */
  async pause(name: string): Promise<void> {
    const request = create(wire.PauseScheduleRequestSchema, { name });
    await this.connection.call(({ schedules }, options) => schedules.pauseSchedule(request, options));
  }

  /** Lets it tick again from now on; nothing of the pause is caught up. */
  async resume(name: string): Promise<void> {
    const request = create(wire.ResumeScheduleRequestSchema, { name });
    await this.connection.call(({ schedules }, options) => schedules.resumeSchedule(request, options));
  }

  /** Makes a job of the schedule now, whatever its ticks do, and returns its id. Idempotent by `jobId`. */
  async trigger(name: string, { jobId = this.ids.next() }: { readonly jobId?: string } = {}): Promise<string> {
    const request = create(wire.TriggerScheduleRequestSchema, { name, jobId });
    const deadline = this.connection.options.dispatchDeadline;
    return (
      await this.connection.call(({ schedules }, options) => schedules.triggerSchedule(request, options), { deadline })
    ).jobId;
  }

  /** Removes a schedule; jobs that it made stay. Throws ConflictError for an etag that does not match. */
  async delete(name: string, { etag = "" }: { readonly etag?: string } = {}): Promise<void> {
    const request = create(wire.DeleteScheduleRequestSchema, { name, etag });
    await this.connection.call(({ schedules }, options) => schedules.deleteSchedule(request, options));
  }

  /** Returns the next ticks of a spec that need not be saved, or of the schedule of that name. */
  async preview(when: When | string, { timeZone, count = 5, from }: PreviewOptions = {}): Promise<Date[]> {
    const request = create(wire.PreviewScheduleRequestSchema, {
      source:
        typeof when === "string"
          ? { case: "name", value: when }
          : { case: "spec", value: create(wire.ScheduleSpecSchema, { when: toWhen(when), timeZone: timeZone ?? "" }) },
      count,
      ...(from === undefined ? {} : { fromTime: toTimestamp(from) }),
    });
    const answer = await this.connection.call(({ schedules }, options) => schedules.previewSchedule(request, options));
    return answer.times.flatMap((time) => dateOf(time) ?? []);
  }
}

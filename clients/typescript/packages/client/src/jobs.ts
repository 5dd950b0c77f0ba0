import { create } from "@bufbuild/protobuf";
import { FieldMaskSchema } from "@bufbuild/protobuf/wkt";

import { pages } from "./calls.js";
import { DispatchCalls } from "./dispatching.js";
import { methodOf } from "./envelope.js";
import {
  JobCancelledError,
  JobExpiredError,
  JobFailedError,
  JobNotFinalError,
  UndecodableError,
  WaitTimeoutError,
} from "./errors.js";
import { toFilter, type JobFilter } from "./filter.js";
import { JobSpecSchema, JobView } from "./gen/protojobs/v1/job_pb.js";
import * as wire from "./gen/protojobs/v1/job_service_pb.js";
import type { RetryPolicy } from "./job.js";
import type { AttemptInfo, JobInfo, JobState, Retried } from "./models.js";
import { readAttempt, readJob, readState } from "./parse.js";
import { decodeData, encodeData, JSON_TYPE, type Payload, type PayloadContext, type Use } from "./payload.js";
import { toRetryPolicy } from "./spec.js";
import { monotonic, toDuration, toTimestamp, type Seconds } from "./time.js";

// Below what proxies cut.
const LONG_POLL: Seconds = 20;
const LONG_POLL_SLACK: Seconds = 5;

/** What may be said about waiting. */
export interface WaitOptions {
  /** Longest wait in seconds, default for ever. It ends the wait, not the job. */
  readonly timeout?: Seconds | undefined;
  /** Ends the wait; it then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Which jobs to list, and how. */
export interface ListOptions extends JobFilter {
  /** A condition in the filter language: `queue = mail and state in (failed, cancelled)`. */
  readonly filter?: string | undefined;
  /** Default newest first. */
  readonly oldestFirst?: boolean | undefined;
  /** With payload, headers and result. Default false. */
  readonly full?: boolean | undefined;
  /** 1 to 500, default 100. */
  readonly pageSize?: number | undefined;
}

/** How a job is taken up again. */
export interface RetryOptions {
  /** Replaces the payload ("edit, then retry"). */
  readonly data?: unknown;
  /** Media type of data that is bytes. */
  readonly contentType?: string | undefined;
  /** Runs not before this time. */
  readonly runAt?: Date | undefined;
  /** A new time to expire at; the old one is cleared in any case. */
  readonly expireAt?: Date | undefined;
}

/** What to change of a job that waits; null sets a field back to its default. */
export interface JobChanges {
  readonly data?: unknown;
  readonly contentType?: string | undefined;
  readonly priority?: number | null | undefined;
  readonly delay?: Seconds | undefined;
  readonly runAt?: Date | null | undefined;
  readonly queue?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly retry?: RetryPolicy | null | undefined;
}

/** The part of the client about stored jobs. Unless said otherwise: throws JobNotFoundError. */
export abstract class JobCalls extends DispatchCalls {
  /** Returns a job; with payload, headers and result if `full`. */
  async get(jobId: string, { full = false }: { readonly full?: boolean } = {}): Promise<JobInfo> {
    const request = create(wire.GetJobRequestSchema, { jobId, view: full ? JobView.FULL : JobView.BASIC });
    const answer = await this.connection.call(({ jobs }, options) => jobs.getJob(request, options));
    return readJob(present(answer.job), full);
  }

  /** Iterates over the jobs for which all holds that is given. */
  list(options: ListOptions = {}): AsyncGenerator<JobInfo, void, undefined> {
    const full = options.full ?? false;
    return pages(async (pageToken) => {
      const request = create(wire.ListJobsRequestSchema, {
        filter: toFilter(options),
        pageSize: options.pageSize ?? 100,
        pageToken,
        view: full ? JobView.FULL : JobView.BASIC,
        order: options.oldestFirst === true ? wire.JobOrder.OLDEST : wire.JobOrder.NEWEST,
        expression: options.filter ?? "",
      });
      const answer = await this.connection.call(({ jobs }, call) => jobs.listJobs(request, call));
      return { items: answer.jobs.map((job) => readJob(job, full)), next: answer.nextPageToken };
    });
  }

  /** Iterates over the jobs that failed for good, of one queue or of all. */
  failedJobs(
    queue?: string,
    options: Pick<ListOptions, "full" | "pageSize"> = {},
  ): AsyncGenerator<JobInfo, void, undefined> {
    return this.list({ ...options, ...(queue === undefined ? {} : { queues: [queue] }), states: ["FAILED"] });
  }

  /** Iterates over the attempts of a job, oldest first. */
  attempts(
    jobId: string,
    { pageSize = 100 }: { readonly pageSize?: number } = {},
  ): AsyncGenerator<AttemptInfo, void, undefined> {
    return pages(async (pageToken) => {
      const request = create(wire.ListAttemptsRequestSchema, { jobId, pageSize, pageToken });
      const answer = await this.connection.call(({ jobs }, options) => jobs.listAttempts(request, options));
      return { items: answer.attempts.map(readAttempt), next: answer.nextPageToken };
    });
  }

  /**
   * Waits until the job is final and returns its result, parsed from JSON.
   *
   * @throws JobFailedError, JobCancelledError or JobExpiredError if it ended so, WaitTimeoutError after `timeout`.
   */
  async wait(jobId: string, options: WaitOptions = {}): Promise<unknown> {
    return this.#data(await this.waitFinal(jobId, options));
  }

  /**
   * Waits until the job is final and returns it in full, however it ended.
   *
   * @throws WaitTimeoutError after `timeout`.
   */
  async waitFinal(jobId: string, { timeout = Infinity, signal }: WaitOptions = {}): Promise<JobInfo> {
    const end = monotonic() + timeout;
    for (;;) {
      const wait = Math.max(0, Math.min(LONG_POLL, end - monotonic()));
      const request = create(wire.WaitJobRequestSchema, { jobId, wait: toDuration(wait) });
      const patience = { deadline: wait + LONG_POLL_SLACK, signal };
      const answer = await this.connection.call(({ jobs }, call) => jobs.waitJob(request, call), patience);
      const job = present(answer.job);
      if (answer.done) return readJob(job, true);
      if (monotonic() >= end) throw new WaitTimeoutError(`job ${jobId} is ${readState(job.state)} still`);
    }
  }

  /**
   * Returns the result of a job that has completed, parsed from JSON.
   *
   * @throws JobNotFinalError if it has not ended yet, and what `wait` throws if it ended otherwise.
   */
  async result(jobId: string): Promise<unknown> {
    return this.#data(await this.get(jobId, { full: true }));
  }

  /** Returns the payload of a job, decoded by the codec of this client. Throws UndecodableError if it cannot. */
  async payload(jobId: string): Promise<Payload> {
    const job = await this.get(jobId, { full: true });
    const stored = { data: job.payload ?? new Uint8Array(), contentType: job.contentType };
    return this.codec.decode(stored, contextOf(job, "payload"));
  }

  /**
   * Cancels a job: at once while it waits, by its worker while it runs; RUNNING means the worker was asked. After
   * `deadline` seconds (default 30) the lease of a running job is revoked.
   *
   * @throws JobFinalError if it ended otherwise before.
   */
  async cancel(jobId: string, { deadline }: { readonly deadline?: Seconds } = {}): Promise<JobState> {
    const request = create(wire.CancelRequestSchema, {
      jobId,
      ...(deadline === undefined ? {} : { deadline: toDuration(deadline) }),
    });
    return readState((await this.connection.call(({ jobs }, options) => jobs.cancel(request, options))).state);
  }

  /**
   * Takes a final job up again under its id, or runs a scheduled or retrying one now. The job is read first, so that a
   * repeated call runs it once.
   *
   * @throws JobNotFinalError if it is pending or running.
   */
  async retry(jobId: string, options: RetryOptions = {}): Promise<Retried> {
    const job = await this.get(jobId);
    const plain = options.data === undefined ? undefined : encodeData(options.data, options.contentType);
    const payload = plain && this.codec.encode(plain, contextOf(job, "payload"));
    const request = create(wire.RetryRequestSchema, {
      jobId,
      expectedAttempt: job.attempt,
      ...(payload === undefined ? {} : { payload: payload.data, contentType: payload.contentType }),
      ...(options.runAt === undefined ? {} : { runTime: toTimestamp(options.runAt) }),
      ...(options.expireAt === undefined ? {} : { expireTime: toTimestamp(options.expireAt) }),
    });
    const answer = await this.connection.call(({ jobs }, call) => jobs.retry(request, call));
    return { jobId, state: readState(answer.state), already: answer.already };
  }

  /**
   * Changes a job that waits, and returns it. A pending one then waits behind all others of its priority.
   *
   * @throws JobRunningError, JobFinalError.
   */
  async update(jobId: string, changes: JobChanges): Promise<JobInfo> {
    const spec = create(JobSpecSchema);
    const paths: string[] = [];
    if (changes.data !== undefined) {
      const plain = encodeData(changes.data, changes.contentType);
      // A codec may bind it to the queue that the job will be in.
      const context = contextOf(await this.get(jobId), "payload");
      const payload = this.codec.encode(plain, { ...context, queue: changes.queue ?? context.queue });
      ({ data: spec.payload, contentType: spec.contentType } = payload);
      paths.push("payload", "content_type");
    }
    if (changes.priority !== undefined) paths.push("priority");
    if (changes.delay !== undefined) paths.push("delay");
    if (changes.runAt !== undefined) paths.push("run_time");
    if (changes.queue !== undefined) paths.push("queue");
    if (changes.labels !== undefined) paths.push("labels");
    if (changes.retry !== undefined) paths.push("retry");
    spec.priority = changes.priority ?? 0;
    spec.queue = changes.queue ?? "";
    spec.labels = { ...changes.labels };
    if (changes.delay !== undefined) spec.start = { case: "delay", value: toDuration(changes.delay) };
    if (changes.runAt) spec.start = { case: "runTime", value: toTimestamp(changes.runAt) };
    if (changes.retry) spec.retry = toRetryPolicy(changes.retry);
    const updateMask = create(FieldMaskSchema, { paths });
    const request = create(wire.UpdateJobRequestSchema, { jobId, spec, updateMask });
    const answer = await this.connection.call(({ jobs }, options) => jobs.updateJob(request, options));
    return readJob(present(answer.job), false);
  }

  /** Removes a job with its history; its id stays taken. Throws JobRunningError while it runs. */
  async delete(jobId: string): Promise<void> {
    const request = create(wire.DeleteJobRequestSchema, { jobId });
    await this.connection.call(({ jobs }, options) => jobs.deleteJob(request, options));
  }

  /**
   * Acts on many jobs, and tells after each step how many. Consume it: the action goes on as long as somebody iterates.
   * One of ids, a filter and `all` must say which.
   *
   */
  async *bulk(action: BulkAction, options: BulkOptions): AsyncGenerator<BulkStep, void, undefined> {
    let continuationToken = "";
    do {
      const request = create(wire.BulkJobsRequestSchema, {
        action: wire.BulkAction[action],
        jobIds: [...(options.jobIds ?? [])],
        ...(options.jobIds === undefined ? { filter: toFilter(options) } : {}),
        expression: options.filter ?? "",
        all: options.all ?? false,
        queue: options.toQueue ?? "",
        priority: options.priority ?? 0,
        validateOnly: options.dryRun ?? false,
        continuationToken,
      });
      const answer = await this.connection.call(({ jobs }, call) => jobs.bulkJobs(request, call));
      yield { changed: Number(answer.changed), skipped: Number(answer.skipped), sample: answer.sampleJobIds };
      continuationToken = answer.continuationToken;
    } while (continuationToken !== "");
  }

  #data(job: JobInfo): unknown {
    switch (job.state) {
      case "COMPLETED": {
        const stored = { data: job.result ?? new Uint8Array(), contentType: JSON_TYPE };
        const plain = this.codec.decode(stored, contextOf(job, "result"));
        if (methodOf(plain) !== undefined) {
          throw new UndecodableError("NO_CODEC", "a codec made this result, and none here reads it");
        }
        return decodeData(plain);
      }
      case "FAILED":
        throw new JobFailedError(job);
      case "CANCELLED":
        throw new JobCancelledError(job);
      case "EXPIRED":
        throw new JobExpiredError(job);
      default:
        throw new JobNotFinalError(`job ${job.id} is ${job.state}`, { reason: "JOB_NOT_FINAL" });
    }
  }
}

/** What `bulk` does to each job, as the method for one job would. */
export type BulkAction = "RETRY" | "CANCEL" | "DELETE" | "MOVE" | "SET_PRIORITY";

/** Which jobs a bulk action is for. */
export interface BulkOptions extends JobFilter {
  /** By id, at most 1000; excludes everything else. */
  readonly jobIds?: readonly string[] | undefined;
  /** A condition in the filter language. */
  readonly filter?: string | undefined;
  /** Every job that the action is for: a filter that names nothing is refused without it. */
  readonly all?: boolean | undefined;
  /** MOVE: the target. */
  readonly toQueue?: string | undefined;
  /** SET_PRIORITY: 1 to 9. */
  readonly priority?: number | undefined;
  /** Count and show a sample, change nothing. */
  readonly dryRun?: boolean | undefined;
}

/** What one step of a bulk action did, or with `dryRun` would do; `sample` up to 10 of the jobs that would change. */
export interface BulkStep {
  readonly changed: number;
  readonly skipped: number;
  readonly sample: readonly string[];
}

/** Returns what the contract always sets. */
function present<T>(value: T | undefined): T {
  if (value === undefined) throw new TypeError("the server's answer is not complete");
  return value;
}

function contextOf({ kind, queue, id }: JobInfo, use: Use): PayloadContext {
  return { kind, queue, use, jobId: id };
}

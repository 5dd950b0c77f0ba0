import { fromBinary } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import type { Seconds } from "@protojobs/client";
import { DeliverSchema, JobSpecSchema, LeasedJobSchema, type LeasedJob } from "@protojobs/client/proto";

import { FieldReader } from "./field_reader.js";

const { field: JOB } = LeasedJobSchema;
const { field: SPEC } = JobSpecSchema;
const FIELD = {
  spec: JOB.spec.number,
  attempt: JOB.attempt.number,
  runTimeout: JOB.runTimeout.number,
  jobId: JOB.jobId.number,
} as const;
const SPEC_FIELD = {
  kind: SPEC.kind.number,
  payload: SPEC.payload.number,
  contentType: SPEC.contentType.number,
} as const;
const DURATION_FIELD = {
  seconds: DurationSchema.field.seconds.number,
  nanos: DurationSchema.field.nanos.number,
} as const;
const DELIVER_ITEMS = DeliverSchema.field.items.number;

/** A job as it was delivered. What every run needs is read at once, all else when it is first asked for. */
export class DeliveredJob {
  jobId = "";
  attempt = 0;
  kind = "";
  contentType = "";
  /** 0: the server names none. */
  runTimeout: Seconds = 0;
  readonly #frame: Uint8Array;
  readonly #start: number;
  readonly #end: number;
  #payloadStart = 0;
  #payloadEnd = 0;
  #message: LeasedJob | undefined;

  constructor(frame: Uint8Array, start: number, end: number) {
    this.#frame = frame;
    this.#start = start;
    this.#end = end;
  }

  /** The payload as it is stored. */
  get payload(): Uint8Array {
    return this.#frame.subarray(this.#payloadStart, this.#payloadEnd);
  }

  /** Everything that was delivered, as the contract has it. */
  get message(): LeasedJob {
    return (this.#message ??= fromBinary(LeasedJobSchema, this.#frame.subarray(this.#start, this.#end)));
  }

  /** Says where in its frame the payload is. */
  placePayload(start: number, end: number): void {
    this.#payloadStart = start;
    this.#payloadEnd = end;
  }
}

/** Reads the jobs of a `Deliver`. Throws RangeError where it is cut off. */
export function readDeliver(bytes: Uint8Array): DeliveredJob[] {
  return new DeliveryReader(bytes).jobs();
}

class DeliveryReader extends FieldReader {
  // Jobs of one delivery are mostly of one kind and type.
  #kind = "";
  #contentType = "";

  jobs(): DeliveredJob[] {
    const jobs: DeliveredJob[] = [];
    this.fields(this.length, (field) => {
      if (field !== DELIVER_ITEMS) return false;
      const end = this.end();
      jobs.push(this.#job(end));
      return true;
    });
    return jobs;
  }

  #job(end: number): DeliveredJob {
    const job = new DeliveredJob(this.bytes, this.reader.pos, end);
    this.fields(end, (field) => {
      if (field === FIELD.jobId) job.jobId = this.text();
      else if (field === FIELD.attempt) job.attempt = this.reader.uint32();
      else if (field === FIELD.spec) this.#spec(job, this.end());
      else if (field === FIELD.runTimeout) job.runTimeout = this.#duration(this.end());
      else return false;
      return true;
    });
    return job;
  }

  #spec(job: DeliveredJob, end: number): void {
    this.fields(end, (field) => {
      if (field === SPEC_FIELD.kind) job.kind = this.#kind = this.text(this.#kind);
      else if (field === SPEC_FIELD.contentType) job.contentType = this.#contentType = this.text(this.#contentType);
      else if (field === SPEC_FIELD.payload) {
        const payloadEnd = this.end();
        job.placePayload(this.reader.pos, payloadEnd);
        this.reader.pos = payloadEnd;
      } else return false;
      return true;
    });
  }

  #duration(end: number): Seconds {
    let seconds = 0;
    this.fields(end, (field) => {
      if (field === DURATION_FIELD.seconds) seconds += Number(this.reader.int64());
      else if (field === DURATION_FIELD.nanos) seconds += this.reader.int32() / 1e9;
      else return false;
      return true;
    });
    return seconds;
  }
}

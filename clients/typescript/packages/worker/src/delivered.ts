import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import type { Seconds } from "@protojobs/client";
import { DeliverSchema, JobSpecSchema, LeasedJobSchema, type LeasedJob } from "@protojobs/client/proto";

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
  const reader = new DeliveryReader(bytes);
  return reader.jobs();
}

class DeliveryReader {
  readonly #bytes: Uint8Array;
  readonly #text: Buffer;
  readonly #reader: BinaryReader;
  // Jobs of one delivery are mostly of one kind and type.
  #kind = "";
  #contentType = "";

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#reader = new BinaryReader(bytes);
  }

  jobs(): DeliveredJob[] {
    const jobs: DeliveredJob[] = [];
    this.#fields(this.#reader.len, (field) => {
      if (field !== DELIVER_ITEMS) return false;
      const end = this.#end();
      jobs.push(this.#job(end));
      return true;
    });
    return jobs;
  }

  #job(end: number): DeliveredJob {
    const job = new DeliveredJob(this.#bytes, this.#reader.pos, end);
    this.#fields(end, (field) => {
      if (field === FIELD.jobId) job.jobId = this.#string();
      else if (field === FIELD.attempt) job.attempt = this.#reader.uint32();
      else if (field === FIELD.spec) this.#spec(job, this.#end());
      else if (field === FIELD.runTimeout) job.runTimeout = this.#duration(this.#end());
      else return false;
      return true;
    });
    return job;
  }

  #spec(job: DeliveredJob, end: number): void {
    this.#fields(end, (field) => {
      if (field === SPEC_FIELD.kind) job.kind = this.#kind = this.#string(this.#kind);
      else if (field === SPEC_FIELD.contentType) job.contentType = this.#contentType = this.#string(this.#contentType);
      else if (field === SPEC_FIELD.payload) {
        const payloadEnd = this.#end();
        job.placePayload(this.#reader.pos, payloadEnd);
        this.#reader.pos = payloadEnd;
      } else return false;
      return true;
    });
  }

  #duration(end: number): Seconds {
    let seconds = 0;
    this.#fields(end, (field) => {
      if (field === DURATION_FIELD.seconds) seconds += Number(this.#reader.int64());
      else if (field === DURATION_FIELD.nanos) seconds += this.#reader.int32() / 1e9;
      else return false;
      return true;
    });
    return seconds;
  }

  /** Goes through the fields up to `end`; what `read` does not take is of no interest here. */
  #fields(end: number, read: (field: number) => boolean): void {
    const reader = this.#reader;
    while (reader.pos < end) {
      const [field, type] = reader.tag();
      if (read(field)) continue;
      if (type === WireType.LengthDelimited) reader.pos = this.#end();
      else reader.skip(type, field);
    }
    if (reader.pos !== end) throw new RangeError("a field passes the end of its message");
  }

  /** Reads a length; returns where what has it ends. */
  #end(): number {
    const length = this.#reader.uint32();
    const end = this.#reader.pos + length;
    if (end > this.#reader.len) throw new RangeError("premature EOF");
    return end;
  }

  /** Reads a text; `likely` spares the making of another one like it. */
  #string(likely = ""): string {
    const end = this.#end();
    const start = this.#reader.pos;
    this.#reader.pos = end;
    return isText(this.#bytes, start, end, likely) ? likely : this.#text.toString("utf8", start, end);
  }
}

/** Tells whether bytes are just this ASCII text. */
function isText(bytes: Uint8Array, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code > 127 || bytes[start + at] !== code) return false;
  }
  return true;
}

import type { Codec, JobRequest } from "@protojobs/client";
import { toSpec, withTrace, sizeOf } from "@protojobs/client/connecting";
import type { JobSpec } from "@protojobs/client/proto";

const MAX_CHILDREN = 1000;
// One completion travels in one frame, of which a server takes 4 MiB unless it is set up otherwise.
const MAX_CHILDREN_BYTES = 2 * 1024 * 1024;

/** Jobs that are stored in the transaction that completes the job whose handler asks for them. */
export class Children {
  readonly specs: JobSpec[] = [];
  bytes = 0;
  readonly #codec: Codec;

  constructor(codec: Codec) {
    this.#codec = codec;
  }

  /** Adds a job. Throws TypeError or RangeError for what cannot be sent. */
  add(request: JobRequest, trace: Readonly<Record<string, string>>): void {
    const spec = toSpec(request, request.id ?? "", withTrace(request.headers, trace), this.#codec);
    const bytes = sizeOf(spec);
    if (this.specs.length >= MAX_CHILDREN) {
      throw new RangeError(`a completion brings at most ${String(MAX_CHILDREN)} jobs`);
    }
    if (this.bytes + bytes > MAX_CHILDREN_BYTES) {
      throw new RangeError(`the jobs of a completion have at most ${String(MAX_CHILDREN_BYTES)} bytes in all`);
    }
    this.bytes += bytes;
    this.specs.push(spec);
  }
}

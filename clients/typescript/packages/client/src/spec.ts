import { create, toBinary } from "@bufbuild/protobuf";

import {
  Jitter,
  JobSpecSchema,
  RetryPolicySchema,
  UniqueConflict,
  UniqueSchema,
  UniqueScope,
  type JobSpec,
  type RetryPolicy as WireRetryPolicy,
  type Unique as WireUnique,
} from "./gen/protojobs/v1/job_pb.js";
import type { JobOptions, JobRequest, RetryPolicy, Unique } from "./job.js";
import { encodeData, plainCodec, type Codec } from "./payload.js";
import { toDuration, toTimestamp } from "./time.js";

/** The server's queue for jobs that name none. */
export const DEFAULT_QUEUE = "default";

const TRACE_HEADERS = ["traceparent", "tracestate", "baggage"];

type Headers = Readonly<Record<string, string>>;

/**
 * Builds the spec of a request. An empty `id` leaves the choice to the server.
 *
 * @throws TypeError or RangeError for what cannot be encoded.
 */
export function toSpec(request: JobRequest, id: string, headers: Headers, codec: Codec): JobSpec {
  if (request.delay !== undefined && request.runAt !== undefined) {
    throw new TypeError("delay and runAt exclude each other");
  }
  let payload = encodeData(request.data, request.contentType);
  if (codec !== plainCodec) {
    const queue = request.queue ?? DEFAULT_QUEUE;
    payload = codec.encode(payload, { kind: request.kind, queue, use: "payload", jobId: id });
  }
  const spec = create(JobSpecSchema);
  spec.id = id;
  spec.kind = request.kind;
  spec.payload = payload.data;
  spec.contentType = payload.contentType;
  spec.headers = { ...headers };
  setOptions(spec, request);
  const trace = Object.fromEntries(Object.entries(headers).filter(([name]) => TRACE_HEADERS.includes(name)));
  spec.onComplete = (request.onComplete ?? []).map((follower) => toFollower(follower, trace, codec));
  spec.onFailed = (request.onFailed ?? []).map((follower) => toFollower(follower, trace, codec));
  return spec;
}

/** Returns headers with a trace's, as they are if they have a `traceparent`. */
export function withTrace(headers: Headers = {}, trace: Headers = {}): Headers {
  return headers.traceparent === undefined ? { ...trace, ...headers } : headers;
}

/** Builds a retry policy. */
export function toRetryPolicy(policy: RetryPolicy): WireRetryPolicy {
  const { initialBackoff, maxBackoff, maxRetryDuration } = policy;
  return create(RetryPolicySchema, {
    ...(policy.maxRetries === undefined ? {} : { maxRetries: policy.maxRetries }),
    ...(policy.multiplier === undefined ? {} : { multiplier: policy.multiplier }),
    ...(initialBackoff === undefined ? {} : { initialBackoff: toDuration(initialBackoff) }),
    ...(maxBackoff === undefined ? {} : { maxBackoff: toDuration(maxBackoff) }),
    ...(maxRetryDuration === undefined ? {} : { maxRetryDuration: toDuration(maxRetryDuration) }),
    ...(policy.jitter === undefined ? {} : { jitter: Jitter[policy.jitter] }),
  });
}

/** Counts the bytes of a spec in a message that holds many, at most. */
export function sizeOf(spec: JobSpec): number {
  return toBinary(JobSpecSchema, spec).length + ITEM_OVERHEAD;
}

// Tag and length of an embedded message.
const ITEM_OVERHEAD = 8;

/** A job that follows another belongs to the trace of the one that it follows. */
function toFollower(request: JobRequest, trace: Headers, codec: Codec): JobSpec {
  if (request.id !== undefined) throw new TypeError("a job that follows another takes no id: the server makes it");
  return toSpec(request, "", withTrace(request.headers, trace), codec);
}

function setOptions(spec: JobSpec, options: JobOptions): void {
  if (options.queue !== undefined) spec.queue = options.queue;
  if (options.priority !== undefined) spec.priority = options.priority;
  if (options.labels !== undefined) spec.labels = { ...options.labels };
  if (options.delay !== undefined) spec.start = { case: "delay", value: toDuration(options.delay) };
  if (options.runAt !== undefined) spec.start = { case: "runTime", value: toTimestamp(options.runAt) };
  if (options.runTimeout !== undefined) spec.runTimeout = toDuration(options.runTimeout);
  if (options.retry !== undefined) spec.retry = toRetryPolicy(options.retry);
  if (options.expireAt !== undefined) spec.expireTime = toTimestamp(options.expireAt);
  if (options.resultRetention !== undefined) spec.resultRetention = toDuration(options.resultRetention);
  if (options.unique !== undefined) spec.unique = toUnique(options.unique);
  if (options.fairnessKey !== undefined) spec.fairnessKey = options.fairnessKey;
  if (options.concurrencyKey !== undefined) spec.concurrencyKey = options.concurrencyKey;
}

function toUnique({ key, scope = "UNTIL_DONE", window, onConflict = "REJECT" }: Unique): WireUnique {
  return create(UniqueSchema, {
    key,
    scope: UniqueScope[scope],
    onConflict: UniqueConflict[onConflict],
    ...(window === undefined ? {} : { window: toDuration(window) }),
  });
}

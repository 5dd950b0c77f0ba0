import { create } from "@bufbuild/protobuf";

import { JobFilterSchema, type JobFilter as WireJobFilter } from "./gen/protojobs/v1/job_service_pb.js";
import type { JobState } from "./models.js";
import { toState } from "./parse.js";
import { toTimestamp } from "./time.js";

/** Which jobs; all that is given must hold. */
export interface JobFilter {
  /** One of these queues, at most 100. */
  readonly queues?: readonly string[] | undefined;
  /** One of these kinds, at most 100. */
  readonly kinds?: readonly string[] | undefined;
  /** One of these states. */
  readonly states?: readonly JobState[] | undefined;
  /** All of these labels. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Created at or after. */
  readonly createdAfter?: Date | undefined;
  /** Created before. */
  readonly createdBefore?: Date | undefined;
  /** Stored by the end of this job. */
  readonly parent?: string | undefined;
}

/** Writes a filter. */
export function toFilter(filter: JobFilter): WireJobFilter {
  return create(JobFilterSchema, {
    queues: [...(filter.queues ?? [])],
    kinds: [...(filter.kinds ?? [])],
    states: (filter.states ?? []).map(toState),
    labels: { ...filter.labels },
    parentJobId: filter.parent ?? "",
    ...(filter.createdAfter === undefined ? {} : { createdAfter: toTimestamp(filter.createdAfter) }),
    ...(filter.createdBefore === undefined ? {} : { createdBefore: toTimestamp(filter.createdBefore) }),
  });
}

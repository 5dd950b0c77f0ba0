import type { JobSpec } from "./gen/protojobs/v1/job_pb.js";

/** Most jobs in one message. */
export const MAX_ITEMS = 1000;

// The other fields of the request that carries them.
const REQUEST_OVERHEAD = 1024;

/** A spec and how many bytes it takes in a message at most. */
export interface Sized {
  readonly spec: JobSpec;
  readonly size: number;
}

/** Returns how many bytes of items fit into one message. */
export function room(maxMessageBytes: number): number {
  return maxMessageBytes - REQUEST_OVERHEAD;
}

/** Splits specs, in order, into runs within both bounds. One that is larger alone is a run of its own. */
export function batches(items: readonly Sized[], maxBytes: number): JobSpec[][] {
  const found: JobSpec[][] = [];
  let bytes = 0;
  for (const { spec, size } of items) {
    const batch = found.at(-1);
    if (batch === undefined || batch.length === MAX_ITEMS || bytes + size > maxBytes) {
      found.push([spec]);
      bytes = size;
    } else {
      batch.push(spec);
      bytes += size;
    }
  }
  return found;
}

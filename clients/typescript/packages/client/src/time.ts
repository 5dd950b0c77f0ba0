import { create } from "@bufbuild/protobuf";
import {
  DurationSchema,
  timestampDate,
  timestampFromDate,
  type Duration,
  type Timestamp,
} from "@bufbuild/protobuf/wkt";

const NANOSECONDS = 1_000_000_000;

/** A span of time in seconds. */
export type Seconds = number;

/**
 * Writes a span of time.
 *
 * @throws RangeError for what is no finite number.
 */
export function toDuration(seconds: Seconds): Duration {
  if (!Number.isFinite(seconds)) throw new RangeError("a span of time is a finite number of seconds");
  const whole = Math.trunc(seconds);
  // To the microsecond, as every SDK: a double of seconds has no more to say.
  const nanos = Math.round((seconds - whole) * 1_000_000) * 1000;
  const carry = Math.trunc(nanos / NANOSECONDS);
  return create(DurationSchema, { seconds: BigInt(whole + carry), nanos: nanos - carry * NANOSECONDS });
}

/** Reads a span of time. */
export function secondsOf(duration: Duration): Seconds {
  return Number(duration.seconds) + duration.nanos / NANOSECONDS;
}

/**
 * Writes a point in time, to the millisecond.
 *
 * @throws RangeError for an invalid Date.
 */
export function toTimestamp(time: Date): Timestamp {
  if (Number.isNaN(time.getTime())) throw new RangeError("the time is not valid");
  return timestampFromDate(time);
}

/** Reads a point in time that may be unset. */
export function dateOf(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp === undefined ? undefined : timestampDate(timestamp);
}

/** Reads a span of time that may be unset. */
export function spanOf(duration: Duration | undefined): Seconds | undefined {
  return duration === undefined ? undefined : secondsOf(duration);
}

/** Returns the process's monotonic clock in seconds: how long things take, whatever is done to the wall clock. */
export function monotonic(): Seconds {
  return performance.now() / 1000;
}

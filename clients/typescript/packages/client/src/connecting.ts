/**
 * What a worker stands on besides the client: connections, streams and the making of messages. It follows the client's
 * version and promises nothing beyond it.
 *
 * @packageDocumentation
 */
export { Bell } from "./bell.js";
export { Connection, type Stubs } from "./connection.js";
export { type Line } from "./dial.js";
export { type RawFrame } from "./lease_frames.js";
export { resolveOptions, type ResolvedOptions } from "./options.js";
export { Sink } from "./sink.js";
export { sizeOf, toSpec, withTrace } from "./spec.js";
export { translate } from "./statuses.js";
export { openTelemetry } from "./telemetry.js";
export { dateOf, monotonic, secondsOf, toDuration, type Seconds } from "./time.js";

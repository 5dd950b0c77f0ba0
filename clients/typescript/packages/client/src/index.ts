/**
 * The client of Proto Jobs for Node.js: dispatch background jobs and look at them.
 *
 * Start with {@link Client}. Errors are all subclasses of {@link ProtoJobsError}.
 *
 * @packageDocumentation
 */
export { Client, type ClientOptions, type ServerInfo } from "./client.js";
export { chain, Compress, type CompressOptions } from "./compress.js";
export { type DispatchManyOptions } from "./dispatching.js";
export { Encrypt, type EncryptOptions } from "./encrypt.js";
export * from "./errors.js";
export { type JobFilter } from "./filter.js";
export { JobIds } from "./ids.js";
export { type JobOptions, type JobRequest, type RetryPolicy, type Unique } from "./job.js";
export {
  type BulkAction,
  type BulkOptions,
  type BulkStep,
  type JobChanges,
  type ListOptions,
  type RetryOptions,
  type WaitOptions,
} from "./jobs.js";
export { jsonLogger, silentLogger, type LogFields, type Logger, type LogLevel } from "./logger.js";
export {
  type AttemptInfo,
  type AttemptOutcome,
  type Dispatched,
  type DispatchOutcome,
  type DispatchResult,
  type JobErrorInfo,
  type JobEvent,
  type JobInfo,
  type JobState,
  type ProgressInfo,
  type Refused,
  type Retried,
} from "./models.js";
export { DEFAULT_ADDRESS, type ConnectionOptions } from "./options.js";
export { isFinal } from "./parse.js";
export {
  decodeData,
  encodeData,
  ENVELOPE_TYPE,
  JSON_TYPE,
  plainCodec,
  type Codec,
  type Payload,
  type PayloadContext,
  type Use,
} from "./payload.js";
export {
  type QueueInfo,
  type QueueSettings,
  type QueueStats,
  type RetentionSettings,
  type StateCounts,
} from "./queue_models.js";
export { Queues, type ClearOptions } from "./queues.js";
export { type ScheduleInfo, type ScheduleRequest, type Weekday, type When } from "./schedule.js";
export { Schedules, type PreviewOptions } from "./schedules.js";
export { type Seconds } from "./time.js";
export { VERSION } from "./version.js";
export { Watch } from "./watch.js";
export { type EventName, type Listener, type WatchOptions } from "./watching.js";
export { Workers, type WorkerInfo } from "./workers.js";

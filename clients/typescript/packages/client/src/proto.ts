/**
 * The messages and services of `protojobs.v1`, for tools that speak the contract itself.
 *
 * @packageDocumentation
 */
export * from "./gen/protojobs/v1/admin_service_pb.js";
export * from "./gen/protojobs/v1/errors_pb.js";
export * from "./gen/protojobs/v1/job_pb.js";
export * from "./gen/protojobs/v1/job_service_pb.js";
export * from "./gen/protojobs/v1/queue_service_pb.js";
export * from "./gen/protojobs/v1/schedule_service_pb.js";
export * from "./gen/protojobs/v1/server_service_pb.js";
export * from "./gen/protojobs/v1/worker_service_pb.js";

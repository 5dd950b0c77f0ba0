import { fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

import * as errors from "./errors.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import type { Status } from "./gen/google/rpc/status_pb.js";
import { secondsOf } from "./time.js";

const DOMAIN = "protojobs.dev";
const TYPE_PREFIX = "type.googleapis.com/";

type ErrorClass = new (message: string, facts?: errors.ErrorFacts) => errors.ProtoJobsError;

/** Returns the error that the server meant. The one place where errors of the transport become ours. */
export function translate(error: unknown): errors.ProtoJobsError {
  if (error instanceof errors.ProtoJobsError) return error;
  // Thrown on our side of a call: by what reads the token.
  if (error instanceof Error && error.cause instanceof errors.ProtoJobsError) return error.cause;
  const told = ConnectError.from(error, Code.Unavailable);
  const details = told.details.flatMap((detail) =>
    "type" in detail ? [{ type: detail.type, value: detail.value }] : [],
  );
  const facts = readDetails(details);
  const known = facts.reason === "" ? undefined : BY_REASON[facts.reason];
  if (known === undefined && facts.reason === "" && isLostConnection(told.code, told)) {
    return new errors.UnavailableError(told.rawMessage || "the connection was lost", {
      code: Code.Unavailable,
      cause: told,
    });
  }
  const kind = known ?? BY_CODE[told.code] ?? errors.ProtoJobsError;
  return new kind(told.rawMessage || facts.reason || errors.statusName(told.code), {
    ...facts,
    code: told.code,
    cause: told,
  });
}

/** Returns the error of an item of a batch or stream. */
export function fromStatus(status: Status): errors.ProtoJobsError {
  const facts = readDetails(
    status.details.map((detail) => ({ type: detail.typeUrl.slice(TYPE_PREFIX.length), value: detail.value })),
  );
  const code = Code[status.code] === undefined ? Code.Unknown : (status.code as Code);
  const kind = BY_REASON[facts.reason] ?? BY_CODE[code] ?? errors.ProtoJobsError;
  return new kind(status.message || facts.reason || errors.statusName(code), { ...facts, code });
}

interface Detail {
  readonly type: string;
  readonly value: Uint8Array;
}

function readDetails(details: readonly Detail[]): errors.ErrorFacts & { readonly reason: string } {
  let reason = "";
  let metadata: Readonly<Record<string, string>> = {};
  let retryAfter: number | undefined;
  let violations: readonly errors.FieldViolation[] = [];
  for (const { type, value } of details) {
    try {
      if (type === ErrorInfoSchema.typeName) {
        const info = fromBinary(ErrorInfoSchema, value);
        if (info.domain === DOMAIN) ({ reason, metadata } = info);
      } else if (type === BadRequestSchema.typeName) {
        violations = fromBinary(BadRequestSchema, value).fieldViolations.map(({ field, description }) => ({
          field,
          description,
        }));
      } else if (type === RetryInfoSchema.typeName) {
        const { retryDelay } = fromBinary(RetryInfoSchema, value);
        retryAfter = retryDelay === undefined ? undefined : secondsOf(retryDelay);
      }
    } catch {
      // A detail that cannot be read must not hide the error itself.
    }
  }
  return { reason, metadata, retryAfter, violations };
}

/** Recognises what the transport says where the connection broke: our server never answers these codes so barely. */
function isLostConnection(code: Code, error: ConnectError): boolean {
  switch (code) {
    case Code.Aborted:
    case Code.Canceled:
    case Code.Unknown:
      return true;
    case Code.Internal:
      return (
        error.cause !== undefined || /http\/2|stream|premature|protocol error|missing trailer/i.test(error.rawMessage)
      );
    default:
      return false;
  }
}

const BY_CODE: Readonly<Partial<Record<Code, ErrorClass>>> = {
  [Code.InvalidArgument]: errors.InvalidArgumentError,
  [Code.NotFound]: errors.NotFoundError,
  [Code.AlreadyExists]: errors.AlreadyExistsError,
  [Code.FailedPrecondition]: errors.FailedPreconditionError,
  [Code.ResourceExhausted]: errors.ResourceExhaustedError,
  [Code.Unavailable]: errors.UnavailableError,
  [Code.DeadlineExceeded]: errors.DeadlineExceededError,
  [Code.Aborted]: errors.AbortedError,
  [Code.OutOfRange]: errors.OutOfRangeError,
  [Code.Unimplemented]: errors.UnsupportedError,
  [Code.Unauthenticated]: errors.UnauthenticatedError,
  [Code.PermissionDenied]: errors.PermissionDeniedError,
  [Code.Internal]: errors.InternalError,
};

const BY_REASON: Readonly<Record<string, ErrorClass | undefined>> = {
  INVALID_FIELD: errors.InvalidArgumentError,
  MALFORMED_MESSAGE: errors.MalformedMessageError,
  JOB_ID_TIME: errors.JobIdTimeError,
  PAYLOAD_TOO_LARGE: errors.PayloadTooLargeError,
  JOB_NOT_FOUND: errors.JobNotFoundError,
  QUEUE_NOT_FOUND: errors.QueueNotFoundError,
  SESSION_NOT_FOUND: errors.SessionNotFoundError,
  SCHEDULE_NOT_FOUND: errors.ScheduleNotFoundError,
  JOB_ID_REUSED: errors.JobIdReusedError,
  DUPLICATE_JOB: errors.DuplicateJobError,
  LEASE_SUPERSEDED: errors.LeaseSupersededError,
  LEASE_EXPIRED: errors.LeaseExpiredError,
  JOB_FINAL: errors.JobFinalError,
  JOB_NOT_FINAL: errors.JobNotFinalError,
  JOB_RUNNING: errors.JobRunningError,
  SESSION_SUPERSEDED: errors.SessionSupersededError,
  SESSION_CLOSED: errors.SessionClosedError,
  PROTOCOL_VIOLATION: errors.ProtocolViolationError,
  QUEUE_NOT_EMPTY: errors.QueueNotEmptyError,
  CONFLICT: errors.ConflictError,
  QUEUE_FULL: errors.QueueFullError,
  OVERLOADED: errors.OverloadedError,
  QUOTA_EXCEEDED: errors.QuotaExceededError,
  STORE_UNAVAILABLE: errors.StoreUnavailableError,
  ISSUER_UNAVAILABLE: errors.IssuerUnavailableError,
  DRAINING: errors.DrainingError,
  DEADLINE: errors.DeadlineExceededError,
  BATCH_ABORTED: errors.BatchAbortedError,
  CURSOR_EXPIRED: errors.CursorExpiredError,
  DRIVER_UNSUPPORTED: errors.DriverUnsupportedError,
  UNAUTHENTICATED: errors.UnauthenticatedError,
  PERMISSION_DENIED: errors.PermissionDeniedError,
  INTERNAL: errors.InternalError,
};

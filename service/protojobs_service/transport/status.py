"""The one table from domain errors to gRPC codes, and how an error looks on the wire."""

import logging
import secrets

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status

from protojobs_service.domain import errors

DOMAIN = "protojobs.dev"
DETAILS_KEY = "grpc-status-details-bin"

_log = logging.getLogger(__name__)


class MalformedMessage(errors.JobsError):
    """The bytes are not a message of the type that the RPC takes."""

    reason = "MALFORMED_MESSAGE"

    def __init__(self, message: str = "the bytes are not a message of this type") -> None:
        super().__init__(message)


class DeadlinePassed(errors.JobsError):
    """The call took longer than the server lets a call without a deadline take; its outcome is unknown."""

    reason = "DEADLINE"

    def __init__(self, message: str = "the deadline passed; a retry with the same ids is safe") -> None:
        super().__init__(message)


class UnsupportedRpc(errors.Unsupported):
    """Nobody has written this RPC yet; `method` in the metadata names it."""

    def __init__(self, method: str, why: str = "comes with a later version") -> None:
        super().__init__(method, why)
        self.metadata = {"method": method, "why": why}


CODES: dict[type[errors.JobsError], grpc.StatusCode] = {
    errors.InvalidField: grpc.StatusCode.INVALID_ARGUMENT,
    errors.JobIdTime: grpc.StatusCode.INVALID_ARGUMENT,
    errors.PayloadTooLarge: grpc.StatusCode.FAILED_PRECONDITION,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.JobNotFound: grpc.StatusCode.NOT_FOUND,
    errors.QueueNotFound: grpc.StatusCode.NOT_FOUND,
    errors.SessionNotFound: grpc.StatusCode.NOT_FOUND,
    errors.ScheduleNotFound: grpc.StatusCode.NOT_FOUND,
    errors.TokenNotFound: grpc.StatusCode.NOT_FOUND,
    errors.TokenExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.JobIdReused: grpc.StatusCode.ALREADY_EXISTS,
    errors.DuplicateJob: grpc.StatusCode.ALREADY_EXISTS,
    errors.WrongState: grpc.StatusCode.FAILED_PRECONDITION,
    errors.JobFinal: grpc.StatusCode.FAILED_PRECONDITION,
    errors.JobNotFinal: grpc.StatusCode.FAILED_PRECONDITION,
    errors.JobRunning: grpc.StatusCode.FAILED_PRECONDITION,
    errors.QueueFull: grpc.StatusCode.FAILED_PRECONDITION,
    errors.QueueNotEmpty: grpc.StatusCode.FAILED_PRECONDITION,
    errors.SessionSuperseded: grpc.StatusCode.FAILED_PRECONDITION,
    errors.SessionClosed: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ProtocolViolation: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    errors.CursorExpired: grpc.StatusCode.OUT_OF_RANGE,
    errors.BatchAborted: grpc.StatusCode.ABORTED,
    errors.Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.QueueFullForNow: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.QuotaExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.IssuerUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Draining: grpc.StatusCode.UNAVAILABLE,
    MalformedMessage: grpc.StatusCode.INVALID_ARGUMENT,
    UnsupportedRpc: grpc.StatusCode.UNIMPLEMENTED,
    DeadlinePassed: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""One line per class of `domain.errors`; a test walks that tree and fails on a class without one."""

RESOURCES: dict[type[errors.JobsError], str] = {
    errors.JobNotFound: "job",
    errors.QueueNotFound: "queue",
    errors.SessionNotFound: "session",
    errors.ScheduleNotFound: "schedule",
    errors.TokenNotFound: "token",
    errors.TokenExists: "token",
    errors.JobIdReused: "job",
    errors.DuplicateJob: "job",
}

STATUS_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def to_status(error: Exception) -> Status:
    """Return what the caller is told of `error`. Anything but a JobsError is logged whole under an opaque id and says nothing."""
    known = _first_known(error)
    if known is not None and type(known) in CODES:
        return _known(known)
    error_id = secrets.token_hex(8)
    _log.error("unexpected error", exc_info=error, extra={"error_id": error_id})
    status = Status(code=grpc.StatusCode.INTERNAL.value[0], message=f"internal error {error_id}")
    status.details.add().Pack(ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"error_id": error_id}))
    return status


def _known(error: errors.JobsError) -> Status:
    status = Status(code=CODES[type(error)].value[0], message=error.message)
    status.details.add().Pack(ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=dict(error.metadata)))
    match error:
        case errors.InvalidField(field=field, detail=detail):
            violation = BadRequest.FieldViolation(field=field, description=detail, reason=error.reason)
            status.details.add().Pack(BadRequest(field_violations=[violation]))
        case errors.Overloaded(retry_after=wait):
            delay = Duration()
            delay.FromTimedelta(wait)
            status.details.add().Pack(RetryInfo(retry_delay=delay))
        case errors.Unavailable():
            status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=1)))
        case errors.WrongState() | errors.PayloadTooLarge():
            failure = PreconditionFailure.Violation(type=error.reason, description=error.message)
            status.details.add().Pack(PreconditionFailure(violations=[failure]))
        case errors.NotFound() | errors.AlreadyExists():
            resource = RESOURCES.get(type(error), "")
            status.details.add().Pack(ResourceInfo(resource_type=resource, description=error.message))
        case _:
            pass
    return status


def _first_known(error: Exception) -> errors.JobsError | None:
    """Return an error of the domain: this one, or the first in a group that a TaskGroup raised."""
    if isinstance(error, errors.JobsError):
        return error
    inner: tuple[Exception, ...] = getattr(error, "exceptions", ())
    return next((found for each in inner if (found := _first_known(each)) is not None), None)


def under(error: errors.JobsError, path: str) -> errors.JobsError:
    """Return an error of a spec as one of the request that holds it."""
    if isinstance(error, errors.InvalidField):
        return error.under(path)
    if isinstance(error, errors.Unsupported):
        return errors.Unsupported(f"{path}.{error.field}", error.metadata["why"])
    return error

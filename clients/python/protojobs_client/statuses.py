"""From what gRPC and the server say to the errors of the client."""

from contextlib import suppress
from typing import cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from protojobs_client.errors import (
    AbortedError,
    AlreadyExistsError,
    BatchAbortedError,
    ConflictError,
    CursorExpiredError,
    DeadlineExceededError,
    DrainingError,
    DriverUnsupportedError,
    DuplicateJobError,
    FailedPreconditionError,
    FieldViolation,
    InternalError,
    InvalidArgumentError,
    IssuerUnavailableError,
    JobFinalError,
    JobIdReusedError,
    JobIdTimeError,
    JobNotFinalError,
    JobNotFoundError,
    JobRunningError,
    LeaseExpiredError,
    LeaseSupersededError,
    MalformedMessageError,
    NotFoundError,
    OutOfRangeError,
    OverloadedError,
    PayloadTooLargeError,
    PermissionDeniedError,
    ProtocolViolationError,
    ProtoJobsError,
    QueueFullError,
    QueueNotEmptyError,
    QueueNotFoundError,
    QuotaExceededError,
    ResourceExhaustedError,
    ScheduleNotFoundError,
    SessionClosedError,
    SessionNotFoundError,
    SessionSupersededError,
    StoreUnavailableError,
    TokenExistsError,
    TokenNotFoundError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
)

DOMAIN = "protojobs.dev"

_DETAILS = "grpc-status-details-bin"  # metadata of gRPC's richer error model


def translate(error: grpc.RpcError) -> ProtoJobsError:
    """Return the error that the server meant. The one place where gRPC errors become ours."""
    call = cast("grpc.Call", error)
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS and isinstance(value, bytes):
            with suppress(DecodeError):
                return from_status(Status.FromString(value))
    code, details = call.code(), _explained(call.details() or "")
    if _is_lost_connection(code, details):
        return UnavailableError(details or "the connection was lost", code=code)
    return _by_code(code)(details or code.name, code=code)


def from_status(status: Status) -> ProtoJobsError:
    """Return the error of an item of a batch or stream."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    info = ErrorInfo()
    bad_request = BadRequest()
    retry_info = RetryInfo()
    retry_after = None
    for detail in status.details:
        if not (detail.Unpack(info) or detail.Unpack(bad_request)) and detail.Unpack(retry_info):
            retry_after = retry_info.retry_delay.ToTimedelta()
    kind = _BY_REASON.get(info.reason) if info.domain == DOMAIN else None
    return (kind or _by_code(code))(
        status.message or info.reason or code.name,
        code=code,
        reason=info.reason,
        metadata=info.metadata,
        retry_after=retry_after,
        violations=tuple(
            FieldViolation(field=violation.field, description=violation.description) for violation in bad_request.field_violations
        ),
    )


def _by_code(code: grpc.StatusCode) -> type[ProtoJobsError]:
    return _BY_CODE.get(code, ProtoJobsError)


def _is_lost_connection(code: grpc.StatusCode, details: str) -> bool:
    """Recognise what gRPC says without details from our server: it never answers these codes so barely."""
    match code:
        case grpc.StatusCode.CANCELLED:
            return True
        case grpc.StatusCode.INTERNAL:
            # The second: grpc.aio's words for a call that came to no end, as where its connection goes while it is being made.
            return details.startswith(("Received RST_STREAM", "Internal error from Core"))
        case grpc.StatusCode.UNKNOWN:
            return details == "Stream removed"
        case _:
            return False


def _explained(details: str) -> str:
    """Put what it means before what gRPC says of a handshake; its own words stand for several causes, or for none."""
    for words, meaning in _HANDSHAKES:
        if all(word in details for word in words):
            return f"{meaning}: {details}"
    return details


_HANDSHAKES = (
    (("Failed to create security handshaker",), "the TLS handshake failed: certificate, key or CA cannot be used"),
    (("Hostname Verification Check failed",), "the TLS handshake failed: the server's certificate is for another name"),
    (("certificate has expired",), "the TLS handshake failed: a certificate of the server has expired"),
    (("CERTIFICATE_VERIFY_FAILED",), "the TLS handshake failed: the server's certificate is not to be trusted"),
    (("WRONG_VERSION_NUMBER",), "the TLS handshake failed: the server does not speak TLS"),
    (("handshake failed",), "the TLS handshake failed"),
    # With TLS 1.3 a client has finished its handshake when the server turns its certificate down.
    (
        ("last error", ": Socket closed"),
        "the handshake failed, or the server has ended: it may want TLS, or a client certificate that it trusts",
    ),
)

_CODES: dict[int, grpc.StatusCode] = {Code.Value(code.name): code for code in grpc.StatusCode}

_BY_CODE: dict[grpc.StatusCode, type[ProtoJobsError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.ABORTED: AbortedError,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRangeError,
    grpc.StatusCode.UNIMPLEMENTED: UnsupportedError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.INTERNAL: InternalError,
}

_BY_REASON: dict[str, type[ProtoJobsError]] = {
    "INVALID_FIELD": InvalidArgumentError,
    "MALFORMED_MESSAGE": MalformedMessageError,
    "JOB_ID_TIME": JobIdTimeError,
    "PAYLOAD_TOO_LARGE": PayloadTooLargeError,
    "JOB_NOT_FOUND": JobNotFoundError,
    "QUEUE_NOT_FOUND": QueueNotFoundError,
    "SESSION_NOT_FOUND": SessionNotFoundError,
    "JOB_ID_REUSED": JobIdReusedError,
    "DUPLICATE_JOB": DuplicateJobError,
    "LEASE_SUPERSEDED": LeaseSupersededError,
    "JOB_FINAL": JobFinalError,
    "JOB_NOT_FINAL": JobNotFinalError,
    "JOB_RUNNING": JobRunningError,
    "SESSION_SUPERSEDED": SessionSupersededError,
    "SESSION_CLOSED": SessionClosedError,
    "PROTOCOL_VIOLATION": ProtocolViolationError,
    "DRIVER_UNSUPPORTED": DriverUnsupportedError,
    "QUEUE_NOT_EMPTY": QueueNotEmptyError,
    "QUEUE_FULL": QueueFullError,
    "OVERLOADED": OverloadedError,
    "QUOTA_EXCEEDED": QuotaExceededError,
    "STORE_UNAVAILABLE": StoreUnavailableError,
    "ISSUER_UNAVAILABLE": IssuerUnavailableError,
    "DRAINING": DrainingError,
    "DEADLINE": DeadlineExceededError,
    "INTERNAL": InternalError,
    "CONFLICT": ConflictError,
    "CURSOR_EXPIRED": CursorExpiredError,
    "SCHEDULE_NOT_FOUND": ScheduleNotFoundError,
    "TOKEN_NOT_FOUND": TokenNotFoundError,
    "TOKEN_EXISTS": TokenExistsError,
    "UNAUTHENTICATED": UnauthenticatedError,
    "PERMISSION_DENIED": PermissionDeniedError,
    "LEASE_EXPIRED": LeaseExpiredError,
    "BATCH_ABORTED": BatchAbortedError,
}

"""What is refused of a request over HTTP before it becomes a call."""

from collections.abc import Mapping

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from protojobs_service.transport.status import DOMAIN, STATUS_CODES


class HttpRefusal(Exception):
    """The request is refused with this HTTP status, whatever the usual one of `code` is. reason: one of errors.proto, or none."""

    def __init__(
        self,
        status_code: int,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT,
        reason: str = "MALFORMED_MESSAGE",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.status = Status(code=code.value[0], message=message)
        if reason:
            self.status.details.add().Pack(ErrorInfo(reason=reason, domain=DOMAIN))
        self.headers: Mapping[str, str] = headers or {}


def forbidden(message: str) -> HttpRefusal:
    """Return the refusal of a request that no page of ours, and no program, would send."""
    return HttpRefusal(403, message, code=grpc.StatusCode.PERMISSION_DENIED, reason="PERMISSION_DENIED")


# google/rpc/code.proto names the usual HTTP status of each code.
_HTTP: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
}


def http_status(status: Status) -> int:
    """Return the usual HTTP status of a call that ended so."""
    return _HTTP[STATUS_CODES[status.code]]

"""Every error of the client, by the reason that the server gives.

ProtoJobsError
├── InvalidArgumentError          a field is malformed or out of bounds: `violations`
│   ├── MalformedMessageError     MALFORMED_MESSAGE
│   └── JobIdTimeError            JOB_ID_TIME: `server_time`
├── NotFoundError
│   ├── JobNotFoundError          JOB_NOT_FOUND
│   ├── QueueNotFoundError        QUEUE_NOT_FOUND
│   ├── SessionNotFoundError      SESSION_NOT_FOUND
│   ├── ScheduleNotFoundError     SCHEDULE_NOT_FOUND
│   └── TokenNotFoundError        TOKEN_NOT_FOUND
├── AlreadyExistsError
│   ├── JobIdReusedError          JOB_ID_REUSED
│   ├── TokenExistsError          TOKEN_EXISTS
│   └── DuplicateJobError         DUPLICATE_JOB: `job_id`
├── FailedPreconditionError
│   ├── PayloadTooLargeError      PAYLOAD_TOO_LARGE: `limit`, `size`
│   ├── LeaseSupersededError      LEASE_SUPERSEDED
│   ├── LeaseExpiredError         LEASE_EXPIRED
│   ├── JobFinalError             JOB_FINAL
│   ├── JobNotFinalError          JOB_NOT_FINAL
│   ├── JobRunningError           JOB_RUNNING
│   ├── SessionSupersededError    SESSION_SUPERSEDED
│   ├── SessionClosedError        SESSION_CLOSED
│   ├── ProtocolViolationError    PROTOCOL_VIOLATION
│   ├── QueueNotEmptyError        QUEUE_NOT_EMPTY
│   └── ConflictError             CONFLICT
├── ResourceExhaustedError
│   ├── QueueFullError            QUEUE_FULL
│   ├── OverloadedError           OVERLOADED
│   └── QuotaExceededError        QUOTA_EXCEEDED
├── UnavailableError              no server answers: safe to retry
│   ├── StoreUnavailableError     STORE_UNAVAILABLE
│   ├── IssuerUnavailableError    ISSUER_UNAVAILABLE
│   └── DrainingError             DRAINING
├── DeadlineExceededError         DEADLINE (a TimeoutError too): the outcome is unknown
├── AbortedError
│   └── BatchAbortedError         BATCH_ABORTED
├── OutOfRangeError
│   └── CursorExpiredError        CURSOR_EXPIRED
├── UnsupportedError              the server lacks the method
│   └── DriverUnsupportedError    DRIVER_UNSUPPORTED
├── UnauthenticatedError          UNAUTHENTICATED
├── PermissionDeniedError         PERMISSION_DENIED
├── InternalError                 INTERNAL: `error_id`
├── JobEndedError                 raised by wait() and result(): `job`
│   ├── JobFailedError
│   ├── JobCancelledError
│   └── JobExpiredError
├── UndecodableError              the codec cannot read payload, result or checkpoint: see `reason`
├── WaitTimeoutError              raised by wait() (a TimeoutError too): the job is not final yet
├── ClientClosedError             the client was closed
└── ClientForkedError             the client was in use before this process was forked
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import grpc

from protojobs_client.models import JobInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldViolation:
    """A field of the request by its path, and what is wrong with it."""

    field: str
    description: str


class ProtoJobsError(Exception):
    """Anything that goes wrong in the client. `reason` is stable; the message is for people."""

    def __init__(
        self,
        message: str = "",
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after: timedelta | None = None,
        violations: tuple[FieldViolation, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after
        self.violations = violations

    @property
    def message(self) -> str:
        """What happened, for people."""
        return str(self.args[0]) if self.args else ""

    @property
    def retryable(self) -> bool:
        """The same call with the same ids may succeed later, and does no harm if it was heard before."""
        return False


class InvalidArgumentError(ProtoJobsError):
    """A field is malformed or out of bounds; nothing is stored."""


class MalformedMessageError(InvalidArgumentError):
    """The bytes are not a message of this type."""


class JobIdTimeError(InvalidArgumentError):
    """The time part of a job id is too far from the server's time."""

    @property
    def server_time(self) -> datetime | None:
        """The server's time when it refused the id."""
        try:
            moment = datetime.fromisoformat(self.metadata.get("server_time", ""))
        except ValueError:
            return None
        return moment if moment.tzinfo else None


class NotFoundError(ProtoJobsError):
    """What the request names does not exist."""


class JobNotFoundError(NotFoundError):
    """No such job, or it was deleted."""


class QueueNotFoundError(NotFoundError):
    """No such queue."""


class SessionNotFoundError(NotFoundError):
    """No such worker session."""


class TokenNotFoundError(NotFoundError):
    """No such token."""


class ScheduleNotFoundError(NotFoundError):
    """No such schedule."""


class AlreadyExistsError(ProtoJobsError):
    """What the request wants to make exists; nothing is stored."""


class JobIdReusedError(AlreadyExistsError):
    """The id was used for another body."""


class TokenExistsError(AlreadyExistsError):
    """A token with this id exists."""


class DuplicateJobError(AlreadyExistsError):
    """The unique key is taken."""

    @property
    def job_id(self) -> str:
        """Id of the job that has the key."""
        return self.metadata.get("job_id", "")


class FailedPreconditionError(ProtoJobsError):
    """The state does not allow it."""


class PayloadTooLargeError(FailedPreconditionError):
    """The payload is over the limit."""

    @property
    def limit(self) -> int:
        """Most bytes that are taken; 0 if the server did not say."""
        return int(self.metadata.get("limit", "0"))

    @property
    def size(self) -> int:
        """Bytes that were sent; 0 if the server did not say."""
        return int(self.metadata.get("size", "0"))


class LeaseSupersededError(FailedPreconditionError):
    """The attempt is not leased by this session (any more). Never retried."""


class LeaseExpiredError(FailedPreconditionError):
    """A strict queue refuses an outcome that came after the lease's deadline."""


class JobFinalError(FailedPreconditionError):
    """The job is final."""


class JobNotFinalError(FailedPreconditionError):
    """The job is not final."""


class JobRunningError(FailedPreconditionError):
    """The job is running."""


class SessionSupersededError(FailedPreconditionError):
    """A newer stream of the session exists."""


class SessionClosedError(FailedPreconditionError):
    """The session has expired or was closed; start a new one."""


class ProtocolViolationError(FailedPreconditionError):
    """A frame came that the protocol does not allow here."""


class QueueNotEmptyError(FailedPreconditionError):
    """The queue has jobs; use force."""


class ConflictError(FailedPreconditionError):
    """The change is based on an older state; read again."""


class ResourceExhaustedError(ProtoJobsError):
    """A bound is reached. Worth a retry where the server says when."""

    @property
    def retryable(self) -> bool:
        return self.retry_after is not None


class QueueFullError(ResourceExhaustedError):
    """The queue is at max_depth."""


class OverloadedError(ResourceExhaustedError):
    """Too much at once."""


class QuotaExceededError(ResourceExhaustedError):
    """A quota or a cap (queues, kinds, labels)."""


class UnavailableError(ProtoJobsError):
    """No server answers at the moment."""

    @property
    def retryable(self) -> bool:
        return True


class StoreUnavailableError(UnavailableError):
    """The server's store does not answer."""


class IssuerUnavailableError(UnavailableError):
    """The server cannot read the keys that the credentials are verified with."""


class DrainingError(UnavailableError):
    """The server is shutting down."""


class DeadlineExceededError(ProtoJobsError, TimeoutError):
    """The deadline passed. The outcome is unknown; a retry with the same ids is safe."""

    @property
    def retryable(self) -> bool:
        return True


class AbortedError(ProtoJobsError):
    """The operation as a whole was given up; nothing is stored."""


class BatchAbortedError(AbortedError):
    """Another item of an atomic batch was refused."""


class OutOfRangeError(ProtoJobsError):
    """A position lies outside of what exists."""


class CursorExpiredError(OutOfRangeError):
    """The event cursor is older than what is kept."""


class UnsupportedError(ProtoJobsError):
    """The server has no such method."""


class DriverUnsupportedError(UnsupportedError):
    """The driver or this version lacks the feature."""


class UnauthenticatedError(ProtoJobsError):
    """No valid credentials."""


class PermissionDeniedError(ProtoJobsError):
    """The credentials do not cover this."""


class InternalError(ProtoJobsError):
    """The server failed unexpectedly."""

    @property
    def error_id(self) -> str:
        """What to look for in the server's log."""
        return self.metadata.get("error_id", "")


class JobEndedError(ProtoJobsError):
    """The job has no result because of how it ended."""

    job: JobInfo

    @classmethod
    def of(cls, job: JobInfo) -> "JobEndedError":
        """Tell how this job ended."""
        why = job.last_error.message if job.last_error else job.reason
        error = cls(f"job {job.id} is {job.state.value}" + (f": {why}" if why else ""), reason=job.reason)
        error.job = job
        return error


class JobFailedError(JobEndedError):
    """The job failed for good."""


class JobCancelledError(JobEndedError):
    """The job was cancelled."""


class JobExpiredError(JobEndedError):
    """The job expired while it waited."""


class UndecodableError(ProtoJobsError):
    """The codec cannot read a payload, a result or a checkpoint; no retry can help. Never tells any of the bytes.

    Reasons: NO_CODEC, UNKNOWN_KEY, NOT_AUTHENTIC (another key, another kind or queue, or changed bytes), NOT_ENCRYPTED,
    CORRUPT, TOO_LARGE.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}", reason=reason)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.message.removeprefix(f"{self.reason}: "))


class WaitTimeoutError(ProtoJobsError, TimeoutError):
    """The job was not final when the wait was over. It goes on."""


class ClientClosedError(ProtoJobsError):
    """The client was closed."""


class ClientForkedError(ProtoJobsError):
    """The client was in use before this process was forked. Make one in each process."""

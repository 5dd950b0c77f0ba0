"""Every error that the domain, the port and the drivers may raise, and nothing else may leave them.

::

    JobsError
    |- InvalidField            a value is malformed or out of bounds          (INVALID_FIELD)
    |  |- JobIdTime            the time part of an id is too far off          (JOB_ID_TIME)
    |- PayloadTooLarge                                                        (PAYLOAD_TOO_LARGE)
    |- NotFound
    |  |- JobNotFound                                                         (JOB_NOT_FOUND)
    |  |- QueueNotFound                                                       (QUEUE_NOT_FOUND)
    |  |- SessionNotFound                                                     (SESSION_NOT_FOUND)
    |  |- ScheduleNotFound                                                    (SCHEDULE_NOT_FOUND)
    |  |- TokenNotFound                                                       (TOKEN_NOT_FOUND)
    |- AlreadyExists
    |  |- JobIdReused          same id, another body                          (JOB_ID_REUSED)
    |  |- TokenExists          the id of the token is taken                   (TOKEN_EXISTS)
    |  |- DuplicateJob         another job has the unique key                 (DUPLICATE_JOB)
    |- WrongState
    |  |- JobFinal             the job is final                               (JOB_FINAL)
    |  |- JobNotFinal          the job is PENDING or RUNNING                  (JOB_NOT_FINAL)
    |  |- JobRunning           the job is RUNNING                             (JOB_RUNNING)
    |  |- QueueFull            the queue is at max_depth                      (QUEUE_FULL)
    |  |- QueueNotEmpty                                                       (QUEUE_NOT_EMPTY)
    |  |- SessionSuperseded    a newer stream of the session exists           (SESSION_SUPERSEDED)
    |  |- SessionClosed        the session was closed or has expired          (SESSION_CLOSED)
    |  |- ProtocolViolation    a frame that is not allowed here               (PROTOCOL_VIOLATION)
    |  |- Conflict             based on an older state                        (CONFLICT)
    |- CursorExpired           what came behind the cursor is not kept        (CURSOR_EXPIRED)
    |- BatchAborted            another item of an atomic batch was refused    (BATCH_ABORTED)
    |- Unauthenticated         no valid credentials                           (UNAUTHENTICATED)
    |- PermissionDenied        the credentials do not cover this              (PERMISSION_DENIED)
    |- Unsupported             the driver or this version lacks the feature   (DRIVER_UNSUPPORTED)
    |- Overloaded              too much at once, try again later              (OVERLOADED)
    |  |- QueueFullForNow      the same, where the queue says: try again      (QUEUE_FULL)
    |  |- QuotaExceeded        a cap of the store                             (QUOTA_EXCEEDED)
    |- Unavailable             safe to retry
       |- StoreUnavailable     the store does not answer                      (STORE_UNAVAILABLE)
       |- IssuerUnavailable    the keys of a token's issuer are not there     (ISSUER_UNAVAILABLE)
       |- Draining             this server is shutting down                   (DRAINING)

`transport.status` maps each class to its gRPC code.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID


class JobsError(Exception):
    """Refuses an operation. `reason` is stable, `metadata` is safe to show to any caller."""

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: Mapping[str, str] = metadata or {}


class InvalidField(JobsError):
    """Names the field (path of the contract, for example `specs[3].priority`) and the bound that it breaks."""

    reason = "INVALID_FIELD"

    def __init__(self, field: str, message: str, *, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{field}: {message}" if field else message, metadata=metadata)
        self.field = field
        self.detail = message

    def under(self, prefix: str) -> "InvalidField":
        """Return the same error with `prefix` before its field path."""
        twin = type(self).__new__(type(self))
        InvalidField.__init__(twin, f"{prefix}.{self.field}" if self.field else prefix, self.detail, metadata=self.metadata)
        return twin


class JobIdTime(InvalidField):
    """The time part of a job id is more than 1 h ahead of or the id window behind the server's time."""

    reason = "JOB_ID_TIME"

    @classmethod
    def at(cls, field: str, now: datetime) -> "JobIdTime":
        """Return the error with the server's time, from which an SDK corrects its offset."""
        return cls(field, "time part is too far from the server's time", metadata={"server_time": now.isoformat()})


class PayloadTooLarge(JobsError):
    """The payload is over the limit in force."""

    reason = "PAYLOAD_TOO_LARGE"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__("payload is over the limit", metadata={"size": str(size), "limit": str(limit)})


class NotFound(JobsError):
    """The named thing does not exist."""


class JobNotFound(NotFound):
    """No such job, or deleted."""

    reason = "JOB_NOT_FOUND"

    def __init__(self, message: str = "no such job") -> None:
        super().__init__(message)


class QueueNotFound(NotFound):
    """No such queue."""

    reason = "QUEUE_NOT_FOUND"

    def __init__(self, message: str = "no such queue") -> None:
        super().__init__(message)


class SessionNotFound(NotFound):
    """No such worker session."""

    reason = "SESSION_NOT_FOUND"

    def __init__(self, message: str = "no such worker session") -> None:
        super().__init__(message)


class ScheduleNotFound(NotFound):
    """No such schedule."""

    reason = "SCHEDULE_NOT_FOUND"

    def __init__(self, message: str = "no such schedule") -> None:
        super().__init__(message)


class TokenNotFound(NotFound):
    """No such token."""

    reason = "TOKEN_NOT_FOUND"

    def __init__(self, message: str = "no such token") -> None:
        super().__init__(message)


class AlreadyExists(JobsError):
    """Something else has the name."""


class TokenExists(AlreadyExists):
    """A token with this id was made before."""

    reason = "TOKEN_EXISTS"

    def __init__(self, message: str = "a token with this id exists") -> None:
        super().__init__(message)


class JobIdReused(AlreadyExists):
    """The id was used for another queue, kind, content type or payload."""

    reason = "JOB_ID_REUSED"

    def __init__(self, message: str = "the job id was used for another job") -> None:
        super().__init__(message)


class DuplicateJob(AlreadyExists):
    """Another job has the unique key; `job_id` in the metadata names it."""

    reason = "DUPLICATE_JOB"

    def __init__(self, job_id: bytes) -> None:
        super().__init__("another job has the unique key", metadata={"job_id": str(UUID(bytes=job_id))})


class WrongState(JobsError):
    """The operation does not fit the state that the thing is in."""


class JobFinal(WrongState):
    """The job is final."""

    reason = "JOB_FINAL"

    def __init__(self, message: str = "the job is final") -> None:
        super().__init__(message)


class JobNotFinal(WrongState):
    """The job is PENDING or RUNNING."""

    reason = "JOB_NOT_FINAL"

    def __init__(self, message: str = "the job is pending or running") -> None:
        super().__init__(message)


class JobRunning(WrongState):
    """The job is RUNNING."""

    reason = "JOB_RUNNING"

    def __init__(self, message: str = "the job is running") -> None:
        super().__init__(message)


class QueueFull(WrongState):
    """As many jobs wait in the queue as its max_depth allows; nothing was stored."""

    reason = "QUEUE_FULL"

    def __init__(self, message: str = "the queue is full") -> None:
        super().__init__(message)


class QueueNotEmpty(WrongState):
    """The queue has jobs."""

    reason = "QUEUE_NOT_EMPTY"

    def __init__(self, message: str = "the queue has jobs") -> None:
        super().__init__(message)


class SessionSuperseded(WrongState):
    """A newer stream of the session exists."""

    reason = "SESSION_SUPERSEDED"

    def __init__(self, message: str = "a newer stream of this session exists") -> None:
        super().__init__(message)


class SessionClosed(WrongState):
    """The session was closed or has expired."""

    reason = "SESSION_CLOSED"

    def __init__(self, message: str = "the session is closed") -> None:
        super().__init__(message)


class ProtocolViolation(WrongState):
    """A frame came that the protocol does not allow here."""

    reason = "PROTOCOL_VIOLATION"


class Conflict(WrongState):
    """The change is based on an older state."""

    reason = "CONFLICT"

    def __init__(self, message: str = "the job has changed; read it again") -> None:
        super().__init__(message)


class CursorExpired(JobsError):
    """Events behind the cursor are not kept any more; only a watch without a cursor goes on."""

    reason = "CURSOR_EXPIRED"

    def __init__(self, message: str = "events behind this cursor are not kept any more; watch without a cursor") -> None:
        super().__init__(message)


class BatchAborted(JobsError):
    """Another item of an atomic batch was refused; nothing was stored."""

    reason = "BATCH_ABORTED"

    def __init__(self, message: str = "another item of the atomic batch was refused") -> None:
        super().__init__(message)


class Unsupported(JobsError):
    """The driver or this version lacks the feature; `field` names it."""

    reason = "DRIVER_UNSUPPORTED"

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}", metadata={"field": field, "why": why})
        self.field = field


class Overloaded(JobsError):
    """Too much at once; try again after `retry_after`."""

    reason = "OVERLOADED"

    def __init__(
        self, message: str, *, retry_after: timedelta = timedelta(seconds=1), metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, metadata=metadata)
        self.retry_after = retry_after


class QueueFullForNow(Overloaded):
    """As QueueFull, in a queue whose callers are to try again."""

    reason = "QUEUE_FULL"

    def __init__(self, message: str = "the queue is full") -> None:
        super().__init__(message)


class QuotaExceeded(Overloaded):
    """A cap of the store is reached (queues, kinds)."""

    reason = "QUOTA_EXCEEDED"


class Unauthenticated(JobsError):
    """No valid credentials came with the call. Which part was wrong is not told: who guesses learns nothing."""

    reason = "UNAUTHENTICATED"

    def __init__(self, message: str = "no valid credentials") -> None:
        super().__init__(message)


class PermissionDenied(JobsError):
    """The caller's grants do not cover this. The message names the scope that is missing, and the queue that was asked for."""

    reason = "PERMISSION_DENIED"


class Unavailable(JobsError):
    """Not now; a retry of the same call is safe."""


class StoreUnavailable(Unavailable):
    """The store does not answer, or the outcome of a commit is unknown; a retry with the same ids is safe."""

    reason = "STORE_UNAVAILABLE"

    def __init__(self, message: str = "the store does not answer") -> None:
        super().__init__(message)


NOT_NOW = (StoreUnavailable, Overloaded)
"""How a store refuses whatever it is asked: it does not answer, or too much is asked at once. For who tries again by itself."""


class IssuerUnavailable(Unavailable):
    """The keys that a token of an identity provider is to be verified with cannot be read; nobody knows whether it is good."""

    reason = "ISSUER_UNAVAILABLE"

    def __init__(self, message: str = "the keys of the token's issuer cannot be read now") -> None:
        super().__init__(message)


class Draining(Unavailable):
    """This server is shutting down."""

    reason = "DRAINING"

    def __init__(self, message: str = "this server is shutting down") -> None:
        super().__init__(message)

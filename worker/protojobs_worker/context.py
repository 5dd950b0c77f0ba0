"""What a handler knows about the attempt it runs, and how it talks back while it runs."""

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Unpack

from opentelemetry.trace import format_span_id, format_trace_id
from protojobs_client.dispatching import to_request
from protojobs_client.job import Job
from protojobs_client.payload import JSON, Payload, Use
from protojobs_client.request import DispatchOptions, JobRequest

from protojobs_worker.children import Children
from protojobs_worker.outcomes import MAX_PROGRESS_BYTES, cut

if TYPE_CHECKING:
    from asyncio import Task

    from protojobs_worker.frames import WireLease
    from protojobs_worker.registry import Handler

logger = logging.getLogger("protojobs_worker.job")

MAX_CHECKPOINT_BYTES: Final = 64 * 1024
DEFAULT_RUN_TIMEOUT: Final = 300.0
_UNREAD: Final = object()


class StopReason(Enum):
    """Why a handler is asked to stop."""

    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    LEASE_LOST = "lease_lost"
    SHUTDOWN = "shutdown"


class JobStopped(Exception):
    """The handler is asked to stop; let it pass through."""


class JobCancelled(JobStopped):
    """The job was cancelled, its lease is gone, or the worker is shutting down."""


class JobTimeout(JobStopped):
    """The job's run timeout has passed."""


class Attempt:
    """One run of one handler: the value that the steps of `execution` pass on.

    Written by whatever runs the handler; `stop` is called by the session's thread. Both sides only set single
    attributes, so no lock is needed.
    """

    # Defaults stand on the class: an instance pays only for what it sets.
    began_at: float | None = None  # monotonic; set once somebody must watch the run timeout
    ended: bool = False
    abandoned: bool = False
    stop_reason: StopReason | None = None
    stopped_at: float = 0.0
    on_stop: "Callable[[Attempt], None] | None" = None
    on_update: "Callable[[Attempt], None] | None" = None
    task: "Task[Any] | None" = None
    progress: tuple[float, str] | None = None
    progress_sent_at: float = 0.0
    checkpoint: bytes | None = None
    children: Children | None = None  # jobs to store with the completion
    told_progress: tuple[float, str] | None = None  # what left last; nobody says whether it was stored
    told_checkpoint: bytes | None = None
    entered_at: float = 0.0
    span: Any = None
    _event: threading.Event | None = None

    def __init__(self, lease: "WireLease", handler: "Handler") -> None:
        self.lease = lease
        self.handler = handler
        self.job = lease.job

    @property
    def run_timeout(self) -> float:
        """Longest run in seconds: the handler's own bound may only shorten the job's."""
        span = self.job.run_timeout
        told = float(span.seconds) + span.nanos / 1e9 or DEFAULT_RUN_TIMEOUT
        own = self.handler.timeout
        return told if own is None else min(told, own)

    def stop(self, reason: StopReason, now: float) -> None:
        """Ask the handler to stop. The first reason stays."""
        if self.stop_reason is not None:
            return
        self.stopped_at = now
        self.stop_reason = reason
        event = self._event
        if event is not None:
            event.set()
        on_stop = self.on_stop
        if on_stop is not None:
            on_stop(self)

    def wait_stopped(self, timeout: float | None) -> bool:
        """Block until the handler is asked to stop."""
        event = self._event
        if event is None:
            # Published before the reason is read: `stop` either sees the event or is seen here.
            event = self._event = threading.Event()
        return self.stop_reason is not None or event.wait(timeout)

    def read_payload(self) -> Any:
        """Decode the payload, once. Raises what the handler's `decode` raises."""
        if self._payload is _UNREAD:
            self._payload = self.handler.decode(self.job)
        return self._payload

    _payload: Any = _UNREAD

    def read_plain(self) -> Payload:
        """Return the payload without its codec, opened once. Raises UndecodableError."""
        if self._plain is None:
            spec = self.job.spec
            self._plain = self.handler.open(self.job, spec.payload, spec.content_type or JSON)
        return self._plain

    _plain: Payload | None = None

    def add_child(self, request: JobRequest) -> None:
        """Store a job with the completion of this attempt."""
        if self.children is None:
            self.children = Children(self.handler.codec)
        self.children.add(request)

    def tell(self) -> None:
        """Let the session know that there is progress or a checkpoint to send."""
        if self.on_update is not None:
            self.on_update(self)


class Cancellation:
    """Tells a handler that it should stop: poll `is_set`, or block in `wait` on a thread."""

    __slots__ = ("_attempt",)

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def __bool__(self) -> bool:
        return self.is_set()

    @property
    def reason(self) -> StopReason | None:
        """Why, or None while the handler may go on."""
        return self._attempt.stop_reason

    def is_set(self) -> bool:
        """Tell whether the handler should stop."""
        return self._attempt.stop_reason is not None

    def wait(self, timeout: float | None = None) -> bool:
        """Block this thread until the handler should stop, or `timeout` seconds have passed."""
        return self._attempt.wait_stopped(timeout)


class JobContext:
    """A running attempt, as its handler sees it. Safe to use from the handler's thread or loop."""

    __slots__ = ("_attempt",)

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def __repr__(self) -> str:
        return f"JobContext(job_id={self.job_id}, kind={self.kind}, attempt={self.attempt})"

    @property
    def job_id(self) -> str:
        """Id of the job (UUIDv7)."""
        return self._attempt.lease.job_id

    @property
    def attempt(self) -> int:
        """Fencing number of this run: grows at every lease, also where nothing failed."""
        return self._attempt.lease.attempt

    @property
    def kind(self) -> str:
        """Which handler runs it."""
        return self._attempt.job.spec.kind

    @property
    def queue(self) -> str:
        """Queue it came from."""
        return self._attempt.job.spec.queue

    @property
    def failures(self) -> int:
        """Counted failures so far."""
        return self._attempt.job.failures

    @property
    def max_retries(self) -> int:
        """Failures that are retried; one more ends the job as FAILED."""
        return self._attempt.job.max_retries

    @property
    def is_last_try(self) -> bool:
        """A failure now ends the job as FAILED."""
        return self.failures >= self.max_retries

    @property
    def priority(self) -> int:
        """1 to 9, higher first."""
        return self._attempt.job.spec.priority or 5

    @property
    def headers(self) -> Mapping[str, str]:
        """Opaque pairs set by the producer."""
        return self._attempt.job.spec.headers

    @property
    def labels(self) -> Mapping[str, str]:
        """Indexed pairs set by the producer."""
        return self._attempt.job.spec.labels

    @property
    def payload(self) -> bytes:
        """Payload as it was dispatched, without what a codec did to it."""
        return self._attempt.read_plain().data

    @property
    def content_type(self) -> str:
        """Media type of `payload`."""
        return self._attempt.read_plain().content_type

    @property
    def data(self) -> Any:
        """Payload decoded by its media type, and into the handler's payload type if it names one."""
        return self._attempt.read_payload()

    @property
    def checkpoint(self) -> bytes:
        """What an earlier attempt saved last; empty if nothing. Raises UndecodableError if the codec cannot read it."""
        attempt = self._attempt
        stored = attempt.job.checkpoint
        return attempt.handler.open(attempt.job, stored, JSON, Use.CHECKPOINT).data if stored else stored

    @property
    def deadline(self) -> float:
        """When the run timeout passes, on `time.monotonic()`."""
        began = self._attempt.began_at
        return (monotonic() if began is None else began) + self._attempt.run_timeout

    @property
    def time_left(self) -> timedelta:
        """How long the handler may still run; never negative."""
        return timedelta(seconds=max(0.0, self.deadline - monotonic()))

    @property
    def cancelled(self) -> Cancellation:
        """Set once the handler should stop. Async handlers are cancelled besides."""
        return Cancellation(self._attempt)

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """Return a logger that names the job, and the span where there is one, in every record."""
        named = {"job_id": self.job_id, "kind": self.kind, "queue": self.queue, "attempt": self.attempt}
        if self._attempt.span is not None:
            span = self._attempt.span.get_span_context()
            named |= {"trace_id": format_trace_id(span.trace_id), "span_id": format_span_id(span.span_id)}
        return logging.LoggerAdapter(logger, named)

    def raise_if_cancelled(self) -> None:
        """Raise JobTimeout or JobCancelled once the handler should stop."""
        reason = self._attempt.stop_reason
        if reason is StopReason.TIMEOUT:
            raise JobTimeout(f"run timeout of {self._attempt.run_timeout:g} s passed")
        if reason is not None:
            raise JobCancelled(reason.value)

    def progress(self, ratio: float, message: str = "") -> None:
        """Tell how far the job is, 0.0 to 1.0. Sent at most once a second; the last one always. `message` is cut to 1 KiB."""
        if not 0.0 <= ratio <= 1.0:
            raise ValueError("progress is between 0.0 and 1.0")
        self._attempt.progress = (float(ratio), cut(str(message), MAX_PROGRESS_BYTES))
        self._attempt.tell()

    def save_checkpoint(self, checkpoint: bytes) -> None:
        """Hand bytes to the next attempt, at most 64 KiB as a codec makes them. A later call replaces it."""
        attempt = self._attempt
        stored = attempt.handler.seal(attempt.job, Payload(bytes(checkpoint)), Use.CHECKPOINT)
        if len(stored) > MAX_CHECKPOINT_BYTES:
            raise ValueError(f"a checkpoint has at most {MAX_CHECKPOINT_BYTES} bytes")
        attempt.checkpoint = stored
        attempt.tell()

    def dispatch(self, job: str | type[Job] | Job | JobRequest, data: object = None, /, **options: Unpack[DispatchOptions]) -> None:
        """Store a job in the transaction that completes this one; if the attempt ends otherwise, it is never stored.

        `job` is a kind, a job class, or an instance or request that has its data. Unless it has an id, one is made of this attempt.
        Raises ValueError above 1000 jobs or 2 MiB, and TypeError or ValueError for data that cannot be sent.
        """
        self._attempt.add_child(to_request(job, data, options))

"""What happened to a job, as those hear of it who watch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from protojobs_service.domain.job import JobId, JobRecord
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.outcome import JobError


class EventType(Enum):
    """What kind of change it was. The first two are live and best effort; the others are logged with the change."""

    PROCESSING = "job.processing"
    PROGRESS = "job.progress"
    PROCESSED = "job.processed"
    FAILED = "job.failed"
    RETRYING = "job.retrying"
    CANCELLED = "job.cancelled"
    EXPIRED = "job.expired"
    DELETED = "job.deleted"


LOGGED: Mapping[Code, EventType] = {
    Code.COMPLETED: EventType.PROCESSED,
    Code.FAILED: EventType.FAILED,
    Code.CANCELLED: EventType.CANCELLED,
    Code.EXPIRED: EventType.EXPIRED,
    Code.DELETED: EventType.DELETED,
    Code.RETRIED: EventType.RETRYING,
    Code.CRASHED: EventType.RETRYING,
}
"""The outcomes that are logged: whatever ends a job or is tried again after a failure. A snooze or release is neither."""

WATCHABLE = frozenset({State.RUNNING, State.PENDING, State.RETRYING, State.COMPLETED, State.FAILED, State.CANCELLED, State.EXPIRED})
"""States that an event may lead to; PENDING by a first crash, which is retried at once."""

RUN_TIMED = frozenset({EventType.PROCESSED, EventType.FAILED, EventType.RETRYING})
"""Events that tell how long the attempt ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """One change of one job. job: as it was after the change, None once it is deleted.

    queue and kind are empty where retention has dropped the job. after None: deleted. worker: of the attempt, empty where none had
    it; by_worker: the change was its word.
    """

    type: EventType
    id: JobId
    attempt: int
    at: datetime
    before: State | None
    after: State | None
    queue: str = ""
    kind: str = ""
    worker: str = ""
    by_worker: bool = False
    started_at: datetime | None = None
    job: JobRecord | None = None


def of_running(kind: EventType, job: JobRecord, at: datetime) -> JobEvent:
    """Return the start of a running attempt, or its progress."""
    return JobEvent(
        type=kind,
        id=job.id,
        attempt=job.attempt,
        at=at,
        before=State.PENDING if kind is EventType.PROCESSING else State.RUNNING,
        after=State.RUNNING,
        queue=job.queue,
        kind=job.kind,
        worker=job.worker,
        by_worker=True,
        started_at=job.started_at,
        job=job,
    )


class Ending(NamedTuple):
    """What is known of an attempt that has ended."""

    started_at: datetime | None
    finished_at: datetime | None
    error: JobError | None
    reason: str
    worker: str


def as_of(record: JobRecord, after: State, attempt: int, ending: Ending) -> JobRecord:
    """Return a job that may have gone on as the end of one of its attempts has left it; results are left out."""
    return replace(
        record,
        state=after,
        attempt=attempt,
        next_at=record.next_at if (record.state, record.attempt) == (after, attempt) else None,
        started_at=ending.started_at,
        finished_at=ending.finished_at if after.is_final else None,
        worker=ending.worker,
        last_error=ending.error,
        reason=ending.reason if after.is_final else "",
        progress=None,
        result=None,
        cancel_requested=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events; empty means any; all that is set must hold. A deleted job has no labels, parent or times: it does not match.

    sees: tells of which queues the watcher may know; None: of all.
    """

    queues: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    states: frozenset[State] = frozenset()
    labels: Mapping[str, str] | None = None
    parent: JobId | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    sees: Callable[[str], bool] | None = None

    @property
    def live(self) -> bool:
        """Tell whether starts and progress are asked for."""
        return not self.states or State.RUNNING in self.states

    def wants(self, queue: str, kind: str) -> bool:
        """Tell whether events of this queue and kind may match."""
        if (self.queues and queue not in self.queues) or (self.kinds and kind not in self.kinds):
            return False
        return self.sees is None or self.sees(queue)

    def matches(self, event: JobEvent) -> bool:
        """Tell whether the event is one of these."""
        if not self.wants(event.queue, event.kind) or (self.states and event.after not in self.states):
            return False
        if not self.labels and self.parent is None and self.created_after is None and self.created_before is None:
            return True
        job = event.job
        return (
            job is not None
            and (not self.labels or self.labels.items() <= (job.labels or {}).items())
            and (self.parent is None or job.parent == self.parent)
            and (self.created_after is None or job.created_at >= self.created_after)
            and (self.created_before is None or job.created_at < self.created_before)
        )

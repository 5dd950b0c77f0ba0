"""What happened to a job, as those hear of it who watch."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias, get_args

from google.protobuf.message import Message
from protojobs.v1 import job_pb2

from protojobs_client.ids import JobId
from protojobs_client.models import JobErrorInfo, JobInfo, JobState
from protojobs_client.parse import job_info, job_state, span_of, time_of

EventName: TypeAlias = Literal[
    "job.processing",
    "job.progress",
    "job.processed",
    "job.failed",
    "job.retrying",
    "job.cancelled",
    "job.expired",
    "job.deleted",
]

_RUNNING = (JobState.RUNNING,)
STATES: Mapping[EventName, tuple[JobState, ...]] = {
    "job.processing": _RUNNING,
    "job.progress": _RUNNING,
    "job.processed": (JobState.COMPLETED,),
    "job.failed": (JobState.FAILED,),
    "job.retrying": (JobState.RETRYING, JobState.PENDING),
    "job.cancelled": (JobState.CANCELLED,),
    "job.expired": (JobState.EXPIRED,),
    "job.deleted": (),
}
"""The states that events of a name lead to; empty: to none, so that all must be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """One change of one job. `cursor` is the place to go on behind it.

    `final`: the job will not run again unless somebody retries it. `error` is that of this attempt, without its stack.
    `job` is the job as the change left it, None once it was deleted: queue and kind are empty then.
    """

    name: str
    id: JobId
    queue: str
    kind: str
    attempt: int
    before: JobState
    after: JobState
    final: bool
    at: datetime | None
    actor: str
    execution_time: timedelta | None
    next_at: datetime | None
    error: JobErrorInfo | None
    job: JobInfo | None
    cursor: bytes


def job_event(event: job_pb2.JobEvent) -> JobEvent:
    """Read an event."""
    job = job_info(event.job, full=False) if event.job.HasField("spec") else None
    after = job_state(event.to)
    return JobEvent(
        name=event.type,
        id=JobId(event.job.id),
        queue=event.job.spec.queue,
        kind=event.job.spec.kind,
        attempt=event.attempt,
        before=job_state(_from(event)),
        after=after,
        final=after.is_final or event.type == "job.deleted",
        at=time_of(event, "event_time"),
        actor=event.actor,
        execution_time=span_of(event, "execution_time"),
        next_at=None if job is None else job.next_at,
        error=None if job is None else job.last_error,
        job=job,
        cursor=event.cursor,
    )


def check_name(name: str) -> None:
    """Raise ValueError for a name that no event has."""
    if name not in STATES:
        raise ValueError(f"no event is called {name!r}; there are {', '.join(get_args(EventName))}")


def _from(event: Message) -> int:
    number: int = getattr(event, "from")  # a word of Python
    return number

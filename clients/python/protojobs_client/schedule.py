"""Schedules as values: what to make again and again, and when; and what the server has of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Unpack

from protojobs_client.dispatching import to_request
from protojobs_client.ids import JobId
from protojobs_client.job import Job
from protojobs_client.models import Seconds
from protojobs_client.request import DispatchOptions, JobRequest, span


class Weekday(Enum):
    """A day of the week."""

    MONDAY = 1
    TUESDAY = 2
    WEDNESDAY = 3
    THURSDAY = 4
    FRIDAY = 5
    SATURDAY = 6
    SUNDAY = 7


class CatchupMode(Enum):
    """Which ticks run of those that were missed while no server was there."""

    SKIP = "skip"
    LAST = "last"
    ALL = "all"


class Overlap(Enum):
    """What happens to a tick while the job of the previous one is not final."""

    ALLOW = "allow"
    SKIP = "skip"
    BUFFER_ONE = "buffer_one"
    CANCEL_OLD = "cancel_old"


@dataclass(frozen=True, slots=True, kw_only=True)
class Catchup:
    """Catch-up after an outage: `most` is for ALL, 1 to 1000; ticks older than `window`, at most 30 days, never run."""

    mode: CatchupMode = CatchupMode.LAST
    most: int = 100
    window: Seconds = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Every:
    """At anchor + n x interval in elapsed time; without an anchor from when the schedule was made. 1 s to 365 days."""

    interval: Seconds
    anchor: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cron:
    """Five fields, or @hourly, @daily, @weekly, @monthly."""

    expression: str


@dataclass(frozen=True, slots=True)
class Daily:
    """At local times "HH:MM" or "HH:MM:SS"."""

    times: Sequence[str]


@dataclass(frozen=True, slots=True)
class Weekly:
    """At local times "HH:MM" or "HH:MM:SS" on some days."""

    days: Sequence[Weekday]
    times: Sequence[str]


When = Every | Cron | Daily | Weekly


class ScheduleOptions(DispatchOptions, total=False):
    """Keyword options of every schedule: those of its jobs, but for job_id, delay and run_at, and these."""

    name: str  # default: kind and a hash of what it does and when, so that the same declaration is the same schedule
    time_zone: str  # IANA name, default UTC; for cron, daily and weekly
    start_at: datetime  # no tick before; aware
    end_at: datetime  # no tick at or after; aware
    jitter: Seconds  # each tick is late by a random part of it; at most 1 h
    catchup: Catchup
    overlap: Overlap
    paused: bool  # False leaves a paused schedule paused
    etag: str  # of the schedule as it was read: refused if it has changed since


_OWN = ("name", "time_zone", "start_at", "end_at", "jitter", "catchup", "overlap", "paused", "etag")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRequest:
    """A schedule to declare: what its jobs are, and when. Raises ValueError for options that only a single job has."""

    job: JobRequest
    when: When
    name: str = ""
    time_zone: str = ""
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter: timedelta = timedelta()
    catchup: Catchup = field(default_factory=Catchup)
    overlap: Overlap = Overlap.ALLOW
    paused: bool = False
    etag: str = ""

    def __post_init__(self) -> None:
        options = self.job.options
        if options.job_id is not None or options.delay is not None or options.run_at is not None:
            raise ValueError("jobs of a schedule take no job_id, delay or run_at")

    @staticmethod
    def of(
        job: str | type[Job] | Job | JobRequest, data: object, when: When, /, **options: Unpack[ScheduleOptions]
    ) -> "ScheduleRequest":
        """Return the schedule of a job; `job` is a kind, a job class, or an instance or request that has its data."""
        values: dict[str, Any] = {**options}
        own = {name: values.pop(name) for name in _OWN if name in values}
        if "jitter" in own:
            own["jitter"] = span(own["jitter"])
        rest: DispatchOptions = values  # type: ignore[assignment] # what is left of the options
        return ScheduleRequest(job=to_request(job, data, rest), when=when, **own)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleInfo:
    """A stored schedule. when is None for a kind of schedule that a later version may know. next_at None: it ticks no more."""

    name: str
    when: When | None
    time_zone: str
    start_at: datetime | None
    end_at: datetime | None
    jitter: timedelta
    kind: str
    queue: str
    payload: bytes
    catchup: Catchup
    overlap: Overlap
    paused: bool
    etag: str
    next_at: datetime | None
    last_at: datetime | None
    last_job_id: JobId | None
    created_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What became of the schedules of a `sync_schedules`, by name."""

    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

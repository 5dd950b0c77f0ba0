"""Schedules: when each makes jobs, in words, and when it will next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from protojobs.v1 import schedule_service_pb2 as pb

from protojobs_service.admin.console.views.fields import at, length
from protojobs_service.admin.console.views.text import span

NEXT_FIRES = 5
_OVERLAP = {
    pb.OVERLAP_MODE_ALLOW: "start anyway",
    pb.OVERLAP_MODE_SKIP: "skip",
    pb.OVERLAP_MODE_BUFFER_ONE: "wait, one at most",
    pb.OVERLAP_MODE_CANCEL_OLD: "cancel the old one",
}
_CATCHUP = {pb.CATCHUP_MODE_SKIP: "skip", pb.CATCHUP_MODE_LAST: "the last one", pb.CATCHUP_MODE_ALL: "all"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """A schedule. when: its spec in words. nexts: none while it is paused. trigger_id: what a job triggered from this page gets."""

    name: str
    when: str
    cron: str
    zone: str
    queue: str
    kind: str
    paused: bool
    etag: str
    overlap: str
    catchup: str
    jitter: str
    next: datetime | None
    last: datetime | None
    last_job: str
    nexts: Sequence[datetime]
    trigger_id: str
    may_operate: bool


def view_schedule(schedule: pb.Schedule, nexts: Sequence[Timestamp], *, trigger_id: str, may_operate: bool) -> ScheduleView:
    """Return the view of a schedule."""
    spec = schedule.spec
    return ScheduleView(
        name=schedule.name,
        when=describe(spec),
        cron=spec.cron,
        zone=spec.time_zone or "UTC",
        queue=schedule.job.queue or "default",
        kind=schedule.job.kind,
        paused=schedule.paused,
        etag=schedule.etag,
        overlap=_OVERLAP.get(schedule.overlap, ""),
        catchup=_CATCHUP.get(schedule.catchup.mode, ""),
        jitter=span(length(spec, "jitter")),
        next=at(schedule, "next_time"),
        last=at(schedule, "last_time"),
        last_job=schedule.last_job_id,
        nexts=[each.ToDatetime(tzinfo=UTC) for each in nexts],
        trigger_id=trigger_id,
        may_operate=may_operate,
    )


def describe(spec: pb.ScheduleSpec) -> str:
    """Return when a schedule ticks, in words."""
    match spec.WhichOneof("when"):
        case "every":
            return f"every {span(length(spec.every, 'interval'))}"
        case "cron":
            return "cron"
        case "daily":
            return f"daily at {_times(spec.daily.times)}"
        case "weekly":
            days = ", ".join(pb.Weekday.Name(day).removeprefix("WEEKDAY_").capitalize()[:3] for day in spec.weekly.days)
            return f"{days} at {_times(spec.weekly.times)}"
        case "at":
            return "once"
        case "in":
            return f"once, {span(length(spec, 'in'))} after it was made"
        case None:
            return "never"


def _times(times: Sequence[str]) -> str:
    return ", ".join(time.removesuffix(":00") if time.count(":") == 2 else time for time in times)

"""Schedules on the wire: requests in, domain out, with every bound of the contract; and domain in, messages out."""

import re
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Literal

from opentelemetry.trace import Tracer
from protojobs.v1 import job_pb2, schedule_service_pb2

from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField, JobsError
from protojobs_service.domain.job import Draft, JobId
from protojobs_service.domain.schedule import (
    Catchup,
    CatchupMode,
    Cron,
    Daily,
    Definition,
    Every,
    Overlap,
    Schedule,
    Spec,
    When,
    default_name,
)
from protojobs_service.domain.schedule_calendar import HORIZON, check_zone, cron
from protojobs_service.transport import convert
from protojobs_service.transport.convert import EPOCH, to_duration, to_timestamp
from protojobs_service.transport.ids import format_id
from protojobs_service.transport.specs import Specs
from protojobs_service.transport.status import under
from protojobs_service.transport.tracing import creating

_TIME = re.compile(r"([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?\Z")


class Templates:
    """Makes jobs of templates: those of schedules, and those of follow-ups, which it finds in an envelope."""

    def __init__(self, limits: bounds.Limits, tracer: Tracer | None = None) -> None:
        self._specs = Specs(limits)
        self._tracer = tracer

    def draft(self, template: bytes, job_id: JobId) -> Draft:
        """Return the job of a template under an id. Raises JobsError where it no longer is within the bounds."""
        return self._specs.draft(template + job_pb2.JobSpec(id=format_id(job_id)).SerializeToString())

    def draft_scheduled(self, template: bytes, job_id: JobId) -> Draft:
        """Return the job of a schedule, as `draft` does, with the span that creates it in its headers."""
        if self._tracer is None:
            return self.draft(template, job_id)
        with creating(self._tracer, convert.parse_spec(template), format_id(job_id)) as headers:
            traced = template + job_pb2.JobSpec(headers=headers).SerializeToString()
            try:
                return self.draft(traced, job_id)
            except JobsError:
                # Whatever is wrong with it, it shall not be what tracing has added.
                return self.draft(template, job_id)

    def follow_ups(self, envelope: bytes, completed: bool) -> list[bytes]:
        """Return the templates of the jobs that follow the completion (else: the failure) of an envelope's job."""
        spec = convert.parse_spec(envelope)
        return [template.SerializeToString() for template in (spec.on_complete if completed else spec.on_failed)]


def parse_definition(schedule: schedule_service_pb2.Schedule, specs: Specs) -> Definition:
    """Return what a request wants a schedule to be. Raises JobsError with paths under `schedule`."""
    spec = parse_spec(schedule.spec, "schedule.spec")
    job = schedule.job
    if field := "id" if job.id else job.WhichOneof("start"):
        raise InvalidField(f"schedule.job.{field}", "must be unset: each tick makes a job of its own")
    template = job.SerializeToString(deterministic=True)  # the same declaration must give the same bytes
    try:
        draft = specs.draft(template)
    except JobsError as error:
        raise under(error, "schedule.job") from None
    name = schedule.name or default_name(draft.job.kind, spec, job.payload)
    return Definition(
        name=convert.check_name("schedule.name", name),
        queue=draft.job.queue,
        kind=draft.job.kind,
        spec=spec,
        template=template,
        catchup=_parse_catchup(schedule),
        overlap=_parse_overlap(schedule.overlap),
        paused=schedule.paused,
    )


def parse_spec(spec: schedule_service_pb2.ScheduleSpec, path: str) -> Spec:
    """Return when a schedule ticks. Raises InvalidField under `path`."""
    try:
        start_at, end_at = _parse_bounds(spec)
        return Spec(
            when=_parse_when(spec),
            zone=_parse_zone(spec.time_zone),
            start_at=start_at,
            end_at=end_at,
            jitter=convert.parse_optional_span(spec, "jitter", timedelta(), bounds.MAX_JITTER),
        )
    except InvalidField as error:
        raise error.under(path) from None


def parse_count(value: int) -> int:
    """Return how many ticks are to be previewed. Raises InvalidField."""
    if value > bounds.MAX_PREVIEW:
        raise InvalidField("count", f"must be 1 to {bounds.MAX_PREVIEW}, or 0 for the default")
    return value or bounds.DEFAULT_PREVIEW


def parse_from(request: schedule_service_pb2.PreviewScheduleRequest) -> datetime | None:
    """Return from when on ticks are to be previewed; None for now. Raises InvalidField."""
    if not request.HasField("from_time"):
        return None
    return _in_calendar("from_time", convert.parse_time("from_time", request.from_time))


def to_schedule(schedule: Schedule) -> schedule_service_pb2.Schedule:
    """Return a schedule with everything that it has."""
    found = schedule_service_pb2.Schedule(
        name=schedule.name,
        spec=_to_spec(schedule.spec),
        job=convert.parse_spec(schedule.template),
        catchup=schedule_service_pb2.Catchup(
            mode=schedule_service_pb2.CatchupMode.ValueType(schedule.catchup.mode.value),
            max=schedule.catchup.most,
            window=to_duration(schedule.catchup.window),
        ),
        overlap=schedule_service_pb2.OverlapMode.ValueType(schedule.overlap.value),
        paused=schedule.paused,
        etag=schedule.etag,
        create_time=to_timestamp(schedule.created_at),
    )
    if schedule.next_at is not None:
        found.next_time.CopyFrom(to_timestamp(schedule.next_at))
    if schedule.last_at is not None:
        found.last_time.CopyFrom(to_timestamp(schedule.last_at))
    if schedule.last_job is not None:
        found.last_job_id = format_id(schedule.last_job)
    return found


def _parse_when(spec: schedule_service_pb2.ScheduleSpec) -> When:
    match spec.WhichOneof("when"):
        case "every":
            interval = convert.parse_span("every.interval", spec.every.interval, bounds.MIN_INTERVAL, bounds.MAX_INTERVAL)
            anchor = _in_calendar("every.anchor", convert.parse_time("every.anchor", spec.every.anchor))
            return Every(interval=interval, anchor=anchor if spec.every.HasField("anchor") else None)
        case "cron":
            return _parse_cron(spec.cron)
        case "daily":
            return Daily(times=_parse_times("daily.times", spec.daily.times))
        case "weekly":
            return Daily(times=_parse_times("weekly.times", spec.weekly.times), days=_parse_days(spec.weekly.days))
        case _:
            raise InvalidField("", "must say when: at, in, every, cron, daily or weekly")


def _parse_zone(name: str) -> str:
    try:
        return check_zone(name or "UTC")
    except InvalidField as error:
        raise error.under("time_zone") from None


def _parse_cron(text: str) -> Cron:
    try:
        return cron(text)
    except InvalidField as error:
        raise error.under("cron") from None


def _parse_times(field: str, texts: Sequence[str]) -> tuple[time, ...]:
    if not 1 <= len(texts) <= bounds.MAX_TIMES:
        raise InvalidField(field, f"must be 1 to {bounds.MAX_TIMES} times")
    return tuple(sorted({_parse_clock(f"{field}[{place}]", text) for place, text in enumerate(texts)}))


def _parse_clock(field: str, text: str) -> time:
    found = _TIME.match(text)
    try:
        if found is not None:
            return time(int(found[1]), int(found[2]), int(found[3] or 0))
    except ValueError:
        pass
    raise InvalidField(field, "must be a local time HH:MM or HH:MM:SS")


def _parse_days(days: Sequence[int]) -> tuple[int, ...]:
    if not 1 <= len(days) <= 7:
        raise InvalidField("weekly.days", "must be 1 to 7 days")
    for place, day in enumerate(days):
        if not 1 <= day <= 7:
            raise InvalidField(f"weekly.days[{place}]", "is no day of the week")
    return tuple(sorted(set(days)))


def _parse_bounds(spec: schedule_service_pb2.ScheduleSpec) -> tuple[datetime | None, datetime | None]:
    start_at, end_at = _parse_time("start_time", spec), _parse_time("end_time", spec)
    if start_at is not None and end_at is not None and end_at <= start_at:
        raise InvalidField("end_time", "must be after start_time")
    return start_at, end_at


def _parse_time(field: Literal["start_time", "end_time"], spec: schedule_service_pb2.ScheduleSpec) -> datetime | None:
    return _in_calendar(field, convert.parse_time(field, getattr(spec, field))) if spec.HasField(field) else None


def _in_calendar(field: str, at: datetime) -> datetime:
    """Refuse times that arithmetic could carry out of the calendar."""
    if not EPOCH <= at <= HORIZON:
        raise InvalidField(field, f"must be {EPOCH.year} to {HORIZON.year}")
    return at


def _parse_catchup(schedule: schedule_service_pb2.Schedule) -> Catchup:
    catchup, default = schedule.catchup, Catchup()
    if catchup.mode not in (0, *(mode.value for mode in CatchupMode)):
        raise InvalidField("schedule.catchup.mode", "is no known value")
    if catchup.max > bounds.MAX_CATCHUP:
        raise InvalidField("schedule.catchup.max", f"must be 1 to {bounds.MAX_CATCHUP}, or 0 for the default")
    window = default.window
    if catchup.HasField("window"):
        low, high = bounds.MIN_CATCHUP_WINDOW, bounds.MAX_CATCHUP_WINDOW
        window = convert.parse_span("schedule.catchup.window", catchup.window, low, high)
    mode = CatchupMode(catchup.mode) if catchup.mode else default.mode
    return Catchup(mode=mode, most=catchup.max or bounds.DEFAULT_CATCHUP, window=window)


def _parse_overlap(value: int) -> Overlap:
    if value not in (0, *(mode.value for mode in Overlap)):
        raise InvalidField("schedule.overlap", "is no known value")
    return Overlap(value) if value else Overlap.ALLOW


def _to_spec(spec: Spec) -> schedule_service_pb2.ScheduleSpec:
    found = schedule_service_pb2.ScheduleSpec(time_zone=spec.zone)
    match spec.when:
        case Every(interval=interval, anchor=anchor):
            found.every.interval.CopyFrom(to_duration(interval))
            if anchor is not None:
                found.every.anchor.CopyFrom(to_timestamp(anchor))
        case Cron(expression=expression):
            found.cron = expression
        case Daily(times=times, days=()):
            found.daily.times.extend(at.isoformat() for at in times)
        case Daily(times=times, days=days):
            found.weekly.times.extend(at.isoformat() for at in times)
            found.weekly.days.extend(schedule_service_pb2.Weekday.ValueType(day) for day in days)
    if spec.start_at is not None:
        found.start_time.CopyFrom(to_timestamp(spec.start_at))
    if spec.end_at is not None:
        found.end_time.CopyFrom(to_timestamp(spec.end_at))
    if spec.jitter:
        found.jitter.CopyFrom(to_duration(spec.jitter))
    return found

"""Makes messages of schedules, and schedules of messages."""

from protojobs.v1 import schedule_service_pb2

from protojobs_client.convert import to_duration, to_spec, to_timestamp
from protojobs_client.ids import JobId
from protojobs_client.parse import span_of, time_of
from protojobs_client.payload import Codec
from protojobs_client.request import span
from protojobs_client.schedule import (
    Catchup,
    CatchupMode,
    Cron,
    Daily,
    Every,
    Overlap,
    ScheduleInfo,
    ScheduleRequest,
    Weekday,
    Weekly,
    When,
)


def to_schedule(request: ScheduleRequest, codec: Codec) -> schedule_service_pb2.Schedule:
    """Build the message. No id and no trace context: the same declaration is the same message."""
    spec = to_when(request.when, request.time_zone)
    start, end = to_timestamp(request.start_at), to_timestamp(request.end_at)
    if start is not None:
        spec.start_time.CopyFrom(start)
    if end is not None:
        spec.end_time.CopyFrom(end)
    if request.jitter:
        spec.jitter.FromTimedelta(request.jitter)
    return schedule_service_pb2.Schedule(
        name=request.name,
        spec=spec,
        job=to_spec(request.job, job_id="", headers=request.job.options.headers, codec=codec),
        catchup=schedule_service_pb2.Catchup(
            mode=schedule_service_pb2.CatchupMode.Value(f"CATCHUP_MODE_{request.catchup.mode.name}"),
            max=request.catchup.most,
            window=to_duration(span(request.catchup.window)),
        ),
        overlap=schedule_service_pb2.OverlapMode.Value(f"OVERLAP_MODE_{request.overlap.name}"),
        paused=request.paused,
        etag=request.etag,
    )


def to_when(when: When, time_zone: str = "") -> schedule_service_pb2.ScheduleSpec:
    """Build the message of when a schedule ticks."""
    spec = schedule_service_pb2.ScheduleSpec(time_zone=time_zone)
    match when:
        case Every(interval, anchor):
            spec.every.interval.FromTimedelta(span(interval))
            at = to_timestamp(anchor)
            if at is not None:
                spec.every.anchor.CopyFrom(at)
        case Cron(expression):
            spec.cron = expression
        case Daily(times):
            spec.daily.times.extend(times)
        case Weekly(days, times):
            spec.weekly.days.extend(schedule_service_pb2.Weekday.ValueType(day.value) for day in days)
            spec.weekly.times.extend(times)
    return spec


def schedule_info(schedule: schedule_service_pb2.Schedule) -> ScheduleInfo:
    """Read a schedule."""
    spec, job = schedule.spec, schedule.job
    return ScheduleInfo(
        name=schedule.name,
        when=_when(spec),
        time_zone=spec.time_zone,
        start_at=time_of(spec, "start_time"),
        end_at=time_of(spec, "end_time"),
        jitter=spec.jitter.ToTimedelta(),
        kind=job.kind,
        queue=job.queue or "default",
        payload=job.payload,
        catchup=Catchup(
            mode=_CATCHUPS.get(schedule.catchup.mode, CatchupMode.LAST),
            most=schedule.catchup.max,
            window=span_of(schedule.catchup, "window") or Catchup().window,
        ),
        overlap=_OVERLAPS.get(schedule.overlap, Overlap.ALLOW),
        paused=schedule.paused,
        etag=schedule.etag,
        next_at=time_of(schedule, "next_time"),
        last_at=time_of(schedule, "last_time"),
        last_job_id=JobId(schedule.last_job_id) if schedule.last_job_id else None,
        created_at=time_of(schedule, "create_time"),
    )


_CATCHUPS: dict[int, CatchupMode] = {
    schedule_service_pb2.CATCHUP_MODE_SKIP: CatchupMode.SKIP,
    schedule_service_pb2.CATCHUP_MODE_LAST: CatchupMode.LAST,
    schedule_service_pb2.CATCHUP_MODE_ALL: CatchupMode.ALL,
}
_OVERLAPS: dict[int, Overlap] = {
    schedule_service_pb2.OVERLAP_MODE_ALLOW: Overlap.ALLOW,
    schedule_service_pb2.OVERLAP_MODE_SKIP: Overlap.SKIP,
    schedule_service_pb2.OVERLAP_MODE_BUFFER_ONE: Overlap.BUFFER_ONE,
    schedule_service_pb2.OVERLAP_MODE_CANCEL_OLD: Overlap.CANCEL_OLD,
}


def _when(spec: schedule_service_pb2.ScheduleSpec) -> When | None:
    match spec.WhichOneof("when"):
        case "every":
            return Every(spec.every.interval.ToTimedelta(), time_of(spec.every, "anchor"))
        case "cron":
            return Cron(spec.cron)
        case "daily":
            return Daily(tuple(spec.daily.times))
        case "weekly":
            return Weekly(tuple(Weekday(day) for day in spec.weekly.days), tuple(spec.weekly.times))
        case _:
            return None

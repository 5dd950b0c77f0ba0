"""Streams of events and of numbers: each ends with OK when the server drains, so that its client moves on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Literal

from protojobs.v1 import job_pb2, job_service_pb2, queue_service_pb2

from protojobs_service.application import Watch, WatchNews
from protojobs_service.application.cursor import Shown
from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField
from protojobs_service.domain.event import RUN_TIMED, EventFilter, JobEvent
from protojobs_service.transport import convert
from protojobs_service.transport.call import Context
from protojobs_service.transport.convert import to_duration, to_timestamp
from protojobs_service.transport.ids import format_id, parse_id
from protojobs_service.transport.interceptors import Drain
from protojobs_service.transport.permissions import access
from protojobs_service.transport.views import state_of, to_job

_MOST_BYTES = 1024 * 1024
"""Of one response; far below what a client takes by default."""
_SERVER = "server"


async def watch_jobs(watch: Watch, drain: Drain, request: job_service_pb2.WatchJobsRequest, context: Context) -> None:
    """Write events as they come, and a sign of life where none do; the first answer comes at once, with where it begins."""
    wanted = _parse_filter(request.filter)
    access().check(*sorted(wanted.queues))
    with await watch.open(wanted, request.cursor) as watcher, drain.calling(watcher.stop):
        while (news := await watcher.next()) is not None:
            for response in _responses(news):
                await context.write(response)


async def watch_stats(
    read: Callable[[], Awaitable[queue_service_pb2.StatsResponse]], interval: timedelta, drain: Drain, context: Context
) -> None:
    """Write numbers at once and then at this distance."""
    stopped = asyncio.Event()
    with drain.calling(stopped.set):
        while not stopped.is_set():
            await context.write(queue_service_pb2.WatchStatsResponse(stats=await read()))
            with suppress(TimeoutError):
                async with asyncio.timeout(interval.total_seconds()):
                    await stopped.wait()


def _responses(news: WatchNews) -> Iterator[job_service_pb2.WatchJobsResponse]:
    """Yield one response, or several where events are many or large; each says where to go on behind it."""
    response, size = job_service_pb2.WatchJobsResponse(), 0
    for shown in news.events:
        event = _to_event(shown)
        if response.events and size + event.ByteSize() > _MOST_BYTES:
            response.cursor = response.events[-1].cursor
            yield response
            response, size = job_service_pb2.WatchJobsResponse(), 0
        response.events.append(event)
        size += event.ByteSize()
    response.cursor = news.cursor
    yield response


def _to_event(shown: Shown) -> job_pb2.JobEvent:
    event = shown.event
    message = job_pb2.JobEvent(
        cursor=shown.cursor,
        job=_to_job(event),
        to=state_of(event.after),
        attempt=event.attempt,
        event_time=to_timestamp(event.at),
        actor=_actor(event),
        type=event.type.value,
    )
    setattr(message, "from", state_of(event.before))
    if event.started_at is not None and event.type in RUN_TIMED:
        message.execution_time.CopyFrom(to_duration(max(event.at, event.started_at) - event.started_at))
    return message


def _to_job(event: JobEvent) -> job_pb2.Job:
    if event.job is None:
        return job_pb2.Job(id=format_id(event.id))
    return to_job(event.job, full=False, texts=access().shows(event.queue))


def _actor(event: JobEvent) -> str:
    return event.worker if event.by_worker and event.worker else _SERVER


def _parse_filter(asked: job_service_pb2.JobFilter) -> EventFilter:
    return EventFilter(
        queues=frozenset(_names("queues", asked.queues)),
        kinds=frozenset(_names("kinds", asked.kinds)),
        states=frozenset(convert.parse_states("filter.states", asked.states)),
        labels=convert.parse_labels(asked.labels, "filter.labels") or None,
        parent=parse_id(asked.parent_job_id, "filter.parent_job_id") if asked.parent_job_id else None,
        created_after=_time(asked, "created_after"),
        created_before=_time(asked, "created_before"),
        sees=None if access().everywhere else access().may,
    )


def _names(field: str, names: Sequence[str]) -> Sequence[str]:
    if len(names) > bounds.MAX_FILTER_VALUES:
        raise InvalidField(f"filter.{field}", f"at most {bounds.MAX_FILTER_VALUES}")
    return [convert.check_name(f"filter.{field}[{place}]", name) for place, name in enumerate(names)]


def _time(asked: job_service_pb2.JobFilter, name: Literal["created_after", "created_before"]) -> datetime | None:
    return convert.parse_time(f"filter.{name}", getattr(asked, name)) if asked.HasField(name) else None

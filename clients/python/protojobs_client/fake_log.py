"""What has happened to the jobs of a fake client, for those who watch."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from protojobs.v1 import job_pb2, job_service_pb2

from protojobs_client.errors import CursorExpiredError
from protojobs_client.fake_errors import check_name, refuse
from protojobs_client.fake_job import FakeJob
from protojobs_client.models import JobState

_KEPT = timedelta(hours=24)  # as a server does
_CURSOR_BYTES = 8
_TYPES: Mapping[JobState, str] = {
    JobState.COMPLETED: "job.processed",
    JobState.FAILED: "job.failed",
    JobState.RETRYING: "job.retrying",
    JobState.CANCELLED: "job.cancelled",
}
_RUN_TIMED = {"job.processed", "job.failed", "job.retrying"}
_UNWATCHABLE = (job_pb2.JOB_STATE_UNSPECIFIED, job_pb2.JOB_STATE_SCHEDULED)


class _Noted(NamedTuple):
    """An event, and where the job was: the event of a deleted one does not tell."""

    event: job_pb2.JobEvent
    queue: str
    kind: str


class FakeLog:
    """Events in order; those of the last 24 h are kept."""

    def __init__(self) -> None:
        self._events: list[_Noted] = []
        self._forgotten = 0
        self._wakes: set[Callable[[], object]] = set()

    @property
    def end(self) -> int:
        """The number of events that there ever were."""
        return self._forgotten + len(self._events)

    def note(self, job: FakeJob, before: JobState, now: datetime, *, deleted: bool = False, by_worker: bool = False) -> None:
        """Note what a job has become; a snooze and a release are no events."""
        kind = "job.deleted" if deleted else _TYPES.get(job.state)
        if kind is None:
            return
        event = job_pb2.JobEvent(type=kind, attempt=job.attempt, actor="worker" if by_worker else "server")
        event.cursor = (self.end + 1).to_bytes(_CURSOR_BYTES)
        event.event_time.FromDatetime(now)
        if kind in _RUN_TIMED:
            event.execution_time.FromTimedelta(timedelta())  # the clock stands still while handlers run
        setattr(event, "from", job_pb2.JobState.Value(f"JOB_STATE_{before.name}"))
        if deleted:
            event.job.id = job.id
        else:
            event.job.CopyFrom(job.message())
            event.to = event.job.state
        self._events.append(_Noted(event, job.queue, job.kind))
        for wake in tuple(self._wakes):
            wake()

    def forget(self, now: datetime) -> None:
        """Drop what is kept no longer."""
        old = sum(_time(noted.event.event_time) <= now - _KEPT for noted in self._events)
        del self._events[:old]
        self._forgotten += old

    def watch(self, request: job_service_pb2.WatchJobsRequest) -> "FakeStream":
        """Return the stream of a WatchJobs. Raises InvalidArgumentError, CursorExpiredError."""
        _check(request.filter)
        return FakeStream(self, request.filter, self._place(request.cursor))

    def _place(self, cursor: bytes) -> int:
        if not cursor:
            return self.end
        place = int.from_bytes(cursor)
        if len(cursor) != _CURSOR_BYTES or place > self.end:
            raise refuse("cursor", "is none of this store")
        return place

    def since(self, place: int) -> list[_Noted]:
        """Return the events behind a place. Raises CursorExpiredError."""
        if place < self._forgotten:
            why = "events behind this cursor are not kept any more; watch without a cursor"
            raise CursorExpiredError(why, code=grpc.StatusCode.OUT_OF_RANGE, reason="CURSOR_EXPIRED")
        return self._events[place - self._forgotten :]

    def hear(self, wake: Callable[[], object]) -> None:
        """Call `wake` at every event from now on, on whatever thread it comes."""
        self._wakes.add(wake)

    def leave(self, wake: Callable[[], object]) -> None:
        """Call it no more."""
        self._wakes.discard(wake)


class FakeStream:
    """A WatchJobs stream; read on one event loop, woken from any thread."""

    def __init__(self, log: FakeLog, wanted: job_service_pb2.JobFilter, place: int) -> None:
        self._log, self._wanted, self._place = log, wanted, place
        self._greeted = self._cancelled = False
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        log.hear(self._wake)

    async def read(self) -> job_service_pb2.WatchJobsResponse:
        """Return what has come; the first time at once, with where it begins. Raises CursorExpiredError.

        Once it is cancelled, also while somebody reads, it raises CancelledError, as the call of a channel does.
        """
        if not self._greeted:
            self._greeted = True
            return self._answer([])
        while True:
            self._news.clear()
            if self._cancelled:
                raise asyncio.CancelledError
            events = self._log.since(self._place)
            self._place += len(events)
            if found := [noted.event for noted in events if _matches(noted, self._wanted)]:
                return self._answer(found)
            await self._news.wait()

    def cancel(self) -> None:
        """End it; whoever reads hears of it."""
        self._cancelled = True
        self._log.leave(self._wake)
        self._wake()

    def _answer(self, events: list[job_pb2.JobEvent]) -> job_service_pb2.WatchJobsResponse:
        return job_service_pb2.WatchJobsResponse(events=events, cursor=self._place.to_bytes(_CURSOR_BYTES))

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)


def _check(wanted: job_service_pb2.JobFilter) -> None:
    for name, values in (("queues", wanted.queues), ("kinds", wanted.kinds)):
        for place, value in enumerate(values):
            check_name(f"filter.{name}[{place}]", value)
    for state in wanted.states:
        if state in _UNWATCHABLE:
            raise refuse("filter.states", f"no event leads to {job_pb2.JobState.Name(state).removeprefix('JOB_STATE_')}")
    if job_pb2.JOB_STATE_RUNNING in wanted.states:  # a fake's queues have no settings
        needs = f"queue {min(wanted.queues)}" if wanted.queues else "a queue"
        raise refuse("filter.states", f"RUNNING needs the setting events = ALL of {needs}")


def _matches(noted: _Noted, wanted: job_service_pb2.JobFilter) -> bool:
    """Tell whether an event is wanted. A deleted job has no labels and times."""
    event, made = noted.event, noted.event.job.create_time
    return (
        (not wanted.queues or noted.queue in wanted.queues)
        and (not wanted.kinds or noted.kind in wanted.kinds)
        and (not wanted.states or event.to in wanted.states)
        and wanted.labels.items() <= event.job.spec.labels.items()
        and (not wanted.HasField("created_after") or (made.seconds > 0 and _time(made) >= _time(wanted.created_after)))
        and (not wanted.HasField("created_before") or (made.seconds > 0 and _time(made) < _time(wanted.created_before)))
    )


def _time(told: Timestamp) -> datetime:
    return told.ToDatetime(tzinfo=UTC)

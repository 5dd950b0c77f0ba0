"""Watching: events of jobs, and numbers of queues, as they come."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import TypedDict, Unpack

from protojobs.v1 import job_service_pb2, queue_service_pb2

from protojobs_client.calls import Calls
from protojobs_client.convert import to_duration, to_state, to_timestamp
from protojobs_client.events import STATES, EventName, JobEvent, check_name, job_event
from protojobs_client.listen import AsyncListener, Callback
from protojobs_client.models import JobState, Seconds, Stats
from protojobs_client.parse import queue_stats, snapshot_at
from protojobs_client.request import span
from protojobs_client.watch import Answer, AsyncWatch

_SILENCE = timedelta(seconds=35)  # the server speaks every 10 s


class EventFilter(TypedDict, total=False):
    """Which events; all that is given must hold."""

    queues: Collection[str]
    kinds: Collection[str]
    labels: Mapping[str, str]  # deleted jobs have none
    created_after: datetime
    created_before: datetime


class WatchCalls(Calls):
    """The part of the client about what happens."""

    def watch_jobs(
        self, *, cursor: bytes = b"", states: Collection[JobState] = (), **events: Unpack[EventFilter]
    ) -> AsyncWatch[JobEvent]:
        """Iterate over events, from when its context was entered or behind a `cursor`; `states` are those that events lead to.

        What ends or retries a job comes without a gap, as long as the cursor is not older than 24 h (CursorExpiredError).
        Starts and progress come where the queue's setting `events` is ALL, as well as can be: asking for RUNNING without it is
        refused (InvalidArgumentError).
        """
        wanted = job_service_pb2.JobFilter(
            queues=events.get("queues", ()),
            kinds=events.get("kinds", ()),
            labels=events.get("labels", {}),
            states=[to_state(state) for state in states],
            created_after=to_timestamp(events.get("created_after")),
            created_before=to_timestamp(events.get("created_before")),
        )

        def start(place: bytes) -> object:
            return self._connection.jobs.WatchJobs(job_service_pb2.WatchJobsRequest(filter=wanted, cursor=place))

        return AsyncWatch(self._connection, start, _read_events, silence=_SILENCE, cursor=cursor)

    def listen(self, name: EventName, callback: Callback, *, cursor: bytes = b"", **events: Unpack[EventFilter]) -> AsyncListener:
        """Call `callback` with each event of this name, from now on or behind a `cursor` that was kept.

        `Client` calls it on a thread that starts at once and ends with `stop()`; with `AsyncClient` use the listener as a context,
        or await its `run()`. Raises ValueError for a name that no event has, and what `watch_jobs` raises: at the start, later
        from `stop()`.
        """
        check_name(name)
        return AsyncListener(self.watch_jobs(cursor=cursor, states=STATES[name], **events), name, callback)

    def watch_stats(self, queue: str | None = None, *, interval: Seconds = 2) -> AsyncWatch[Stats]:
        """Iterate over the numbers of one queue, or of all, at this distance (1 to 60 s). Raises QueueNotFoundError."""
        every = span(interval)
        request = queue_service_pb2.WatchStatsRequest(queue=queue or "", interval=to_duration(every))

        def start(_place: bytes) -> object:
            return self._connection.queues.WatchStats(request)

        return AsyncWatch(self._connection, start, _read_stats, silence=_SILENCE + every)


def _read_events(message: job_service_pb2.WatchJobsResponse) -> Answer[JobEvent]:
    return Answer([(job_event(event), event.cursor) for event in message.events], message.cursor)


def _read_stats(message: queue_service_pb2.WatchStatsResponse) -> Answer[Stats]:
    numbers = message.stats
    stats = Stats(queues=tuple(queue_stats(each) for each in numbers.queues), snapshot_at=snapshot_at(numbers))
    return Answer([(stats, b"")], b"")

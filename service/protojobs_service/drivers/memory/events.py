"""The log of events in memory: one slot, one change a flush."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from uuid import uuid4

from protojobs_service.domain.errors import CursorExpired, InvalidField
from protojobs_service.domain.event import LOGGED, Ending, EventType, JobEvent, as_of, of_running
from protojobs_service.drivers.memory.reading import record_of
from protojobs_service.drivers.memory.records import Logged
from protojobs_service.drivers.memory.store import Store
from protojobs_service.port.events import Flush, LogEnd, LogPage, LogQuery

_SLOT = 0


class MemoryEvents:
    """`port.Events`: no method awaits, so each is one snapshot."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._name = uuid4().hex

    async def end(self) -> LogEnd:
        return LogEnd(self._name, {_SLOT: self._last})

    @property
    def _last(self) -> int:
        return self._store.forgotten + len(self._store.log)

    async def read(self, query: LogQuery) -> LogPage:
        after = query.after.get(_SLOT, 0)
        if after > self._last or query.after.keys() - {_SLOT}:
            raise InvalidField("cursor", "lies beyond the log of this store")
        if after < self._store.forgotten:
            raise CursorExpired
        last = self._last if query.until is None else max(after, min(self._last, query.until.get(_SLOT, 0)))
        stop = min(last, after + query.limit)
        logged = islice(self._store.log, after - self._store.forgotten, stop - self._store.forgotten)
        flushes = [
            Flush(_SLOT, seq, 1, [(0, self._event(one, query))] if _is_asked_for(one, query) else [])
            for seq, one in enumerate(logged, after + 1)
        ]
        return LogPage(flushes, {_SLOT: stop}, stop == last, self._live(query) if query.live else ())

    def _event(self, one: Logged, query: LogQuery) -> JobEvent:
        job, ended = one.job, one.ended
        stands = self._store.known(job.spec.id)
        started_at = None if ended is None else ended.started_at
        record = None
        if ended is not None and stands is job and one.after is not None:
            error = ended.error if ended.error is None or query.brief is None else replace(ended.error, stack="")
            ending = Ending(started_at, ended.finished_at, error, ended.reason, ended.worker)
            record = as_of(record_of(self._store, job, query.brief), one.after, one.attempt, ending)
        return JobEvent(
            type=LOGGED[one.code],
            id=job.spec.id,
            attempt=one.attempt,
            at=one.at,
            before=one.before,
            after=one.after,
            queue=job.spec.queue,
            kind=job.spec.kind,
            worker="" if ended is None else ended.worker,
            by_worker=ended is not None and ended.settled,
            started_at=started_at,
            job=record,
        )

    def _live(self, query: LogQuery) -> list[JobEvent]:
        running = [job for held in self._store.running.values() for job in held.values() if job.spec.queue in query.live]
        events: list[tuple[datetime, JobEvent]] = []
        for record in (record_of(self._store, job, query.brief) for job in running):
            key, progress = (record.id, record.attempt), record.progress
            if key not in query.known and record.started_at is not None:
                events.append((record.started_at, of_running(EventType.PROCESSING, record, record.started_at)))
            if progress is not None and progress.at != query.known.get(key):
                events.append((progress.at, of_running(EventType.PROGRESS, record, progress.at)))
        return [event for _, event in sorted(events, key=lambda each: each[0])]

    async def forget(self, older_than: timedelta, limit: int) -> int:
        store, before, dropped = self._store, self._store.now() - older_than, 0
        while dropped < limit and store.log and store.log[0].at < before:
            store.log.popleft()
            dropped += 1
        store.forgotten += dropped
        return dropped


def _is_asked_for(one: Logged, query: LogQuery) -> bool:
    spec = one.job.spec
    return (not query.states or one.after in query.states) and query.wanted(spec.queue, spec.kind)

"""Schedules: declare, look at, pause, resume, remove, run now, preview, and let them tick."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from protojobs_service.application.dispatch import Dispatch, job_of
from protojobs_service.application.known_queues import KnownQueues
from protojobs_service.application.store_time import StoreTime
from protojobs_service.domain.bounds import DEFAULT_CANCEL_DEADLINE
from protojobs_service.domain.errors import JobsError, ScheduleNotFound, Unsupported
from protojobs_service.domain.job import Draft, JobId, NewJob
from protojobs_service.domain.schedule import Definition, Schedule, Spec
from protojobs_service.domain.schedule_calendar import next_after
from protojobs_service.domain.schedule_changes import define, pause, remove, resume
from protojobs_service.port import Driver, Fired, Firing

_log = logging.getLogger(__name__)

MakeDraft = Callable[[bytes, JobId], Draft]
"""(template, id) -> the job that a schedule's template makes under this id. Handed in, because only the wire reads envelopes.
Raises JobsError. Called on any thread."""

_SCHEDULES_PER_TURN, _JOBS_PER_TURN = 500, 1000
_KEEP_TICKS = timedelta(days=1)


def no_templates(_template: bytes, _job_id: JobId) -> Draft:
    """Refuse: this application was made without a wire that reads templates."""
    raise Unsupported("schedules", "nobody reads templates here")


class Schedules:
    """Acts on schedules."""

    def __init__(self, driver: Driver, known: KnownQueues, store_time: StoreTime, dispatch: Dispatch, draft: MakeDraft) -> None:
        self._driver = driver
        self._known = known
        self._store_time = store_time
        self._dispatch = dispatch
        self._draft = draft

    async def define(self, wanted: Definition, etag: str = "") -> Schedule:
        """Make or change a schedule; the same definition again changes nothing.

        Raises Conflict, QuotaExceeded, StoreUnavailable.
        """
        stored = await self._driver.schedules.change(wanted.name, define(wanted, etag))
        assert stored is not None, "a definition removes nothing"
        return stored

    async def rehearse(self, wanted: Definition, etag: str = "") -> Schedule:
        """Return what `define` would store, and store nothing. Raises Conflict, StoreUnavailable."""
        old = await self._driver.schedules.get(wanted.name)
        new = define(wanted, etag)(old, self._store_time.now())
        assert new is not None, "a definition removes nothing"
        return new

    async def get(self, name: str) -> Schedule:
        """Return a schedule. Raises ScheduleNotFound, StoreUnavailable."""
        found = await self._driver.schedules.get(name)
        if found is None:
            raise ScheduleNotFound
        return found

    async def page(self, after: str, limit: int) -> Sequence[Schedule]:
        """Return schedules by name, from the first one behind `after`. Raises StoreUnavailable."""
        return await self._driver.schedules.page(after, limit)

    async def delete(self, name: str, etag: str = "") -> None:
        """Remove a schedule; its jobs stay. Raises ScheduleNotFound, Conflict, StoreUnavailable."""
        await self._driver.schedules.change(name, remove(etag))

    async def pause(self, name: str) -> None:
        """Stop its ticks. Raises ScheduleNotFound, StoreUnavailable."""
        await self._driver.schedules.change(name, pause)

    async def resume(self, name: str) -> None:
        """Let it tick again, from now on. Raises ScheduleNotFound, StoreUnavailable."""
        await self._driver.schedules.change(name, resume)

    async def trigger(self, name: str, job_id: JobId) -> JobId:
        """Store a job of the schedule now, whatever its ticks do, and return its id, or that of the one that has its unique key.

        Raises ScheduleNotFound, and as Dispatch does.
        """
        schedule = await self.get(name)
        [answer] = await self._dispatch.many([self._draft(schedule.template, job_id)])
        if isinstance(answer, JobsError):
            raise answer
        return job_of(answer, job_id)

    async def preview(self, name: str, start: datetime | None, count: int) -> list[datetime]:
        """Return the next ticks of a schedule, paused or not. Raises ScheduleNotFound, StoreUnavailable."""
        schedule = await self.get(name)
        return self.preview_spec(schedule.spec, start, count, made_at=schedule.created_at)

    def preview_spec(self, spec: Spec, start: datetime | None, count: int, *, made_at: datetime | None = None) -> list[datetime]:
        """Return the next `count` ticks of a spec from `start` on (default: now)."""
        now = self._store_time.now()
        after = now if start is None else start - timedelta(microseconds=1)
        ticks: list[datetime] = []
        while len(ticks) < count and (tick := next_after(spec, after, made_at or now)) is not None:
            ticks.append(tick)
            after = tick
        return ticks

    async def tick_turn(self) -> float | None:
        """Let schedules tick whose time has come, in one bounded step; 0 where more are due. Raises StoreUnavailable."""
        return 0.0 if (await self.fire()).more else None

    async def fire(self) -> Fired:
        """Do such a step; returns what it did. Raises StoreUnavailable."""
        firing = Firing(
            schedules=_SCHEDULES_PER_TURN, jobs=_JOBS_PER_TURN, cancel_within=DEFAULT_CANCEL_DEADLINE, make=self._make_job
        )
        fired = await self._driver.schedules.fire(firing)
        if fired.missed:
            _log.warning("ticks were missed", extra={"ticks": fired.missed})
        for name, reason in fired.refused:
            _log.error("tick refused", extra={"schedule": name, "reason": reason})
        return fired

    async def forget_ticks(self, limit: int) -> int:
        """Drop rows of old ticks, at most `limit`; returns how many. Raises StoreUnavailable."""
        return await self._driver.schedules.forget_ticks(_KEEP_TICKS, limit)

    def _make_job(self, schedule: Schedule, job_id: JobId, run_at: datetime | None) -> NewJob:
        job, changes = self._draft(schedule.template, job_id)
        return job._replace(run_at=run_at, policy=self._known.policy(job.queue, changes))

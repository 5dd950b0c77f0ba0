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
from protojobs_service.domain.schedule import Change, Definition, Schedule, Spec
from protojobs_service.domain.schedule_calendar import next_after
from protojobs_service.domain.schedule_changes import define, pause, remove, resume
from protojobs_service.port import Driver, Fired, Firing

_log = logging.getLogger(__name__)

MakeDraft = Callable[[bytes, JobId], Draft]
"""(template, id) -> the job that a schedule's template makes under this id. Handed in, because only the wire reads envelopes.
Raises JobsError. Called on any thread."""

Judge = Callable[[str], None]
"""(queue of a schedule as it is stored) -> nothing; raises what keeps the caller from changing it. Called on any thread."""

_SCHEDULES_PER_TURN, _JOBS_PER_TURN = 500, 1000
_KEEP_TICKS = timedelta(days=1)


def by_anybody(_queue: str) -> None:
    """Let the change pass."""


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

    async def define(self, wanted: Definition, etag: str = "", judge: Judge = by_anybody) -> Schedule:
        """Make or change a schedule; the same definition again changes nothing.

        Raises Conflict, QuotaExceeded, StoreUnavailable, and what `judge` raises.
        """
        stored = await self._driver.schedules.change(wanted.name, _judged(define(wanted, etag), judge))
        assert stored is not None, "a definition removes nothing"
        return stored

    async def rehearse(self, wanted: Definition, etag: str = "", judge: Judge = by_anybody) -> Schedule:
        """Return what `define` would store, and store nothing. Raises Conflict, StoreUnavailable, and what `judge` raises."""
        old = await self._driver.schedules.get(wanted.name)
        new = _judged(define(wanted, etag), judge)(old, self._store_time.now())
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

    async def delete(self, name: str, etag: str = "", judge: Judge = by_anybody) -> None:
        """Remove a schedule; its jobs stay. Raises ScheduleNotFound, Conflict, StoreUnavailable, and what `judge` raises."""
        await self._driver.schedules.change(name, _judged(remove(etag), judge))

    async def pause(self, name: str, judge: Judge = by_anybody) -> None:
        """Stop its ticks. Raises ScheduleNotFound, StoreUnavailable, and what `judge` raises."""
        await self._driver.schedules.change(name, _judged(pause, judge))

    async def resume(self, name: str, judge: Judge = by_anybody) -> None:
        """Let it tick again, from now on. Raises ScheduleNotFound, StoreUnavailable, and what `judge` raises."""
        await self._driver.schedules.change(name, _judged(resume, judge))

    async def trigger(self, name: str, job_id: JobId, judge: Judge = by_anybody) -> JobId:
        """Store a job of the schedule now, whatever its ticks do, and return its id, or that of the one that has its unique key.

        Raises ScheduleNotFound, as Dispatch does, and what `judge` raises.
        """
        schedule = await self.get(name)
        judge(schedule.queue)
        [answer] = await self._dispatch.many([self._draft(schedule.template, job_id)])
        if isinstance(answer, JobsError):
            raise answer
        return job_of(answer, job_id)

    async def preview(self, name: str, start: datetime | None, count: int, judge: Judge = by_anybody) -> list[datetime]:
        """Return the next ticks of a schedule, paused or not.

        Raises ScheduleNotFound, StoreUnavailable, and what `judge` raises.
        """
        schedule = await self.get(name)
        judge(schedule.queue)
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


def _judged(change: Change, judge: Judge) -> Change:
    """Return the change, made only where the schedule that is stored by then is one that the caller may change."""

    def judged(old: Schedule | None, now: datetime) -> Schedule | None:
        if old is not None:
            judge(old.queue)
        return change(old, now)

    return judged

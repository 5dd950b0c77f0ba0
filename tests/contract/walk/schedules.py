"""A queue whose jobs schedules make."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from protojobs_service.application import Application
from protojobs_service.domain.errors import DuplicateJob, ScheduleNotFound
from protojobs_service.domain.job import Draft, JobId, NewJob
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.schedule import Catchup, CatchupMode, Schedule
from protojobs_service.domain.schedule_changes import define, pause, remove, resume
from protojobs_service.domain.unique import OnConflict, Unique, UniqueScope

from tests.contract.acts import SECOND, Span
from tests.contract.model import Job
from tests.contract.schedule_acts import EPOCH, definition, fire_all
from tests.contract.walk.ground import TICKING, WHICH, World
from tests.contract.walk.keys import KeyedQueue

ALL_TICKS = Catchup(mode=CatchupMode.ALL, most=1000, window=timedelta(hours=1))
INTERVALS = {"s0": 3 * SECOND, "s1": 5 * SECOND}
TEMPLATE = b"tick"


@dataclass(slots=True)
class Ticking:
    """A schedule. since: when it began to tick, None while it is paused. ticks: of its jobs, since then."""

    since: Span | None
    ticks: set[datetime] = field(default_factory=set[datetime])


class Schedules(KeyedQueue):
    """The rules of schedules."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.schedules: dict[str, Ticking] = {}
        self.made: dict[JobId, NewJob] = {}
        self.triggered: dict[JobId, NewJob] = {}
        self.application = Application.over(self.driver, draft=self._draft)

    @rule(name=st.sampled_from(sorted(INTERVALS)))
    def schedule(self, name: str) -> None:
        wanted = definition(
            self._full(name), INTERVALS[name], queue=self.queues[TICKING], kind=name, template=TEMPLATE, catchup=ALL_TICKS
        )

        stored, span = self.during(self.driver.schedules.change(wanted.name, define(wanted)))

        assert stored is not None
        self.schedules.setdefault(name, Ticking(span))  # the same one again changes nothing
        assert stored.paused is (self.schedules[name].since is None)

    @precondition(lambda self: self.schedules)
    @rule(which=WHICH, pauses=st.booleans())
    def pause_or_resume(self, which: int, pauses: bool) -> None:
        name = self.pick(sorted(self.schedules), which)
        ticking = self.schedules[name]

        stored, span = self.during(self.driver.schedules.change(self._full(name), pause if pauses else resume))

        assert stored is not None
        assert stored.paused is pauses
        if pauses or ticking.since is None:
            self.schedules[name] = Ticking(None if pauses else span)

    @precondition(lambda self: self.schedules)
    @rule(seconds=st.sampled_from([0, 4, 12]))
    def tick(self, seconds: int) -> None:
        self.wait(self.clock.advance(seconds * SECOND))
        self.wait(self.driver.sessions.beat())

        _, span = self.during(fire_all(self.driver, make=self._make))

        self._follow_ticks()
        for name, ticking in self.schedules.items():
            if ticking.since is not None:
                sure = _multiples(INTERVALS[name], ticking.since.last, span.first)
                possible = _multiples(INTERVALS[name], ticking.since.first, span.last)
                assert sure <= ticking.ticks <= possible

    @rule(
        name=st.sampled_from(sorted(INTERVALS)),
        key=st.sampled_from([None, "a"]),
        on_conflict=st.sampled_from([OnConflict.REJECT, OnConflict.RETURN_EXISTING, OnConflict.REPLACE]),
    )
    def trigger(self, name: str, key: str | None, on_conflict: OnConflict) -> None:
        unique = None if key is None else Unique(key=key, scope=UniqueScope.UNTIL_DONE, on_conflict=on_conflict)
        spec = self._spec(TICKING, name, body=TEMPLATE, unique=unique)
        self.triggered[spec.id] = spec
        self.follow_expiry()
        holder = self.model.holder(spec)
        before = self.wait(self.driver.schedules.get(self._full(name)))

        if name not in self.schedules:
            with pytest.raises(ScheduleNotFound):
                self.wait(self._trigger(name, spec.id))
        elif holder is None or (on_conflict is OnConflict.REPLACE and holder.is_waiting):
            self._make_by_trigger(name, spec, holder)
        elif on_conflict is OnConflict.RETURN_EXISTING:
            assert self.wait(self._trigger(name, spec.id)) == holder.spec.id
        else:
            with pytest.raises(DuplicateJob):
                self.wait(self._trigger(name, spec.id))

        assert self.wait(self.driver.jobs.get([spec.id])) == [None] or spec.id in self.model.jobs
        assert self.wait(self.driver.schedules.get(self._full(name))) == before  # its ticks do not hear of it, and may be paused

    def _make_by_trigger(self, name: str, spec: NewJob, replaced: Job | None) -> None:
        first, again = (self.wait(self._trigger(name, spec.id)) for _ in range(2))

        assert (first, again) == (spec.id, spec.id)
        self._expect(spec)
        self.touch(spec.id)
        if replaced is not None:
            replaced.end_unleased(Code.CANCELLED, State.CANCELLED)
            self.touch(replaced.spec.id)

    async def _trigger(self, name: str, job_id: JobId) -> JobId:
        await self.application.store_time.refresh()
        return await self.application.schedules.trigger(self._full(name), job_id)

    def _draft(self, template: bytes, job_id: JobId) -> Draft:
        assert template == TEMPLATE
        return Draft(self.triggered[job_id], None)

    def _make(self, schedule: Schedule, job_id: JobId, run_at: datetime | None) -> NewJob:
        spec = self._spec(TICKING, schedule.kind, id=job_id)._replace(envelope=job_id + schedule.template, run_at=run_at)
        self.made[job_id] = spec
        return spec

    def _follow_ticks(self) -> None:
        """Put the jobs of ticks into the model: there is one for each tick, which the time of its id tells."""
        new = [job_id for job_id in self.made if job_id not in self.model.jobs]
        for job_id, record in zip(new, self.wait(self.driver.jobs.get(new)), strict=True):
            assert record is not None
            at = EPOCH + timedelta(milliseconds=int.from_bytes(job_id[:6]))
            ticks = self.schedules[record.kind].ticks
            assert at not in ticks
            ticks.add(at)
            self._expect(self.made[job_id])
        # In which order ticks of one turn stand is nobody's promise.
        ranks = [self.model.jobs[job_id] for job_id in new]
        for job in ranks:
            job.rank = ranks[-1].rank
        self.touch(*new)

    def _full(self, name: str) -> str:
        return f"{self.queues[TICKING]}-{name}"

    async def _leave(self, queue: str) -> None:
        for name in self.schedules:
            with suppress(ScheduleNotFound):
                await self.driver.schedules.change(self._full(name), remove())
        await super()._leave(queue)


def _multiples(interval: timedelta, after: datetime, to: datetime) -> set[datetime]:
    """Return the ticks behind one instant, up to another."""
    first, last = ((at - EPOCH) // interval for at in (after, to))
    return {EPOCH + n * interval for n in range(first + 1, last + 1)}

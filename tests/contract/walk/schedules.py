"""A queue whose jobs schedules make."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from protojobs_service.domain.errors import ScheduleNotFound
from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.domain.schedule import Catchup, CatchupMode, Schedule
from protojobs_service.domain.schedule_changes import define, pause, remove, resume

from tests.contract.acts import SECOND, Span
from tests.contract.schedule_acts import EPOCH, definition, fire_all
from tests.contract.walk.ground import TICKING, WHICH, World
from tests.contract.walk.keys import KeyedQueue

ALL_TICKS = Catchup(mode=CatchupMode.ALL, most=1000, window=timedelta(hours=1))
INTERVALS = {"s0": 3 * SECOND, "s1": 5 * SECOND}


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

    @rule(name=st.sampled_from(sorted(INTERVALS)))
    def schedule(self, name: str) -> None:
        wanted = definition(
            self._full(name), INTERVALS[name], queue=self.queues[TICKING], kind=name, template=b"tick", catchup=ALL_TICKS
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

    async def _leave(self) -> None:
        for name in self.schedules:
            with suppress(ScheduleNotFound):
                await self.driver.schedules.change(self._full(name), remove())
        await super()._leave()


def _multiples(interval: timedelta, after: datetime, to: datetime) -> set[datetime]:
    """Return the ticks behind one instant, up to another."""
    first, last = ((at - EPOCH) // interval for at in (after, to))
    return {EPOCH + n * interval for n in range(first + 1, last + 1)}

"""The random walk with what came later: limited queues, concurrency keys, schedules and bulk actions, each in a queue of its own.

Every other rule meets their jobs as well: they are claimed, settled, cancelled, retried, edited, deleted and lost like all others.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from protojobs_service.application import Action, Bulk, BulkJobs, SystemClock, Wait
from protojobs_service.domain.errors import ScheduleNotFound
from protojobs_service.domain.filter_text import parse
from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.outcome import COMPLETE
from protojobs_service.domain.queue_limits import RateLimit
from protojobs_service.domain.schedule import Catchup, CatchupMode, Schedule
from protojobs_service.domain.schedule_changes import define, pause, remove, resume
from protojobs_service.port import Claim, Dispatched, DispatchVerdict, ListQuery, Settlement, SettleVerdict

from tests.contract.acts import SECOND, Span
from tests.contract.model import FINAL, WAITING, Job
from tests.contract.schedule_acts import EPOCH, definition, fire_all
from tests.contract.walk import KINDS, MANY, WHICH, Walk, World

LIMITED, KEYED, TICKING = 2, 3, 4
EVERYWHERE = (LIMITED, KEYED, TICKING, 0, 1)
ALL_TICKS = Catchup(mode=CatchupMode.ALL, most=1000, window=timedelta(hours=1))
INTERVALS = {"s0": 3 * SECOND, "s1": 5 * SECOND}


@dataclass(slots=True)
class Limits:
    """Of the limited queue. leased: when, since the rate was set."""

    in_flight: int = 0
    depth: int = 0
    rate: RateLimit | None = None
    leased: list[datetime] = field(default_factory=list[datetime])


@dataclass(slots=True)
class Ticking:
    """A schedule. since: when it began to tick, None while it is paused. ticks: of its jobs, since then."""

    since: Span | None
    ticks: set[datetime] = field(default_factory=set[datetime])


class WiderWalk(Walk):
    """One walk over every operation."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        name = self.queues[0].removesuffix("-a")
        self.queues += [f"{name}-limited", f"{name}-keyed", f"{name}-ticking"]
        self.limits = Limits()
        self.schedules: dict[str, Ticking] = {}
        self.made: dict[JobId, NewJob] = {}

    # Limits

    @initialize(in_flight=st.sampled_from([0, 1, 3]))
    def make_the_limited_queue(self, in_flight: int) -> None:
        self.set_limits(in_flight, 0, None)

    @rule(in_flight=st.sampled_from([0, 1, 3]), depth=st.sampled_from([0, 2, 5]), rate=st.sampled_from([None, None, 0.5, 20]))
    def set_limits(self, in_flight: int, depth: int, rate: float | None) -> None:
        limit = None if rate is None else RateLimit(per_second=rate, burst=2)
        changed = self.driver.queues.change(
            self.queues[LIMITED], lambda old: replace(old, max_in_flight=in_flight, max_depth=depth, rate_limit=limit)
        )
        self.wait(changed)
        self.limits = Limits(in_flight, depth, limit)

    @rule(number=st.integers(1, 4), kind=KINDS, which=WHICH, claims=st.booleans())
    def dispatch_into_the_limited_queue(self, number: int, kind: str, which: int, claims: bool) -> None:
        self.follow_expiry()
        specs = [self._spec(LIMITED, kind) for _ in range(number)]
        waiting = len(self._of(LIMITED, *WAITING))
        room = max(0, self.limits.depth - waiting) if self.limits.depth else number

        answers = self.wait(self.driver.jobs.dispatch(specs))

        assert [answer.verdict is DispatchVerdict.CREATED for answer in answers] == [n < room for n in range(number)]
        for spec, answer in zip(specs[:room], answers, strict=False):
            assert answer == Dispatched(DispatchVerdict.CREATED, self._expect(spec))
        self.touch(*(spec.id for spec in specs[:room]))
        if claims:
            self._claim(self.pick(self.alive(), which), (LIMITED,), None, (), MANY)

    @rule(which=WHICH, limit=st.integers(1, 9))
    def claim_everywhere(self, which: int, limit: int) -> None:
        self._claim(self.pick(self.alive(), which), EVERYWHERE, None, (), limit)

    def due(self, claim: Claim, got: Sequence[JobId], could: set[JobId], span: Span) -> set[JobId]:
        self._judge_keys(got)
        could = {job_id for job_id in could if self.model.jobs[job_id].spec.concurrency_key is None}
        limited, limits = self.queues[LIMITED], self.limits
        taken = [job_id for job_id in got if self.model.jobs[job_id].spec.queue == limited]
        waiting = {job_id for job_id in could if self.model.jobs[job_id].spec.queue == limited}
        if limits.in_flight:
            room = max(0, limits.in_flight - len(self._of(LIMITED, State.RUNNING)))
            assert len(taken) <= room
            assert limits.rate or len(got) == claim.limit or len(taken) >= min(room, len(waiting))
        if limits.rate:
            self._judge_rate(limits.rate, len(taken), span)
        return could - waiting if limits.in_flight or limits.rate else could

    def _judge_rate(self, rate: RateLimit, leases: int, span: Span) -> None:
        self.limits.leased += [span.last] * leases
        for place, at in enumerate(self.limits.leased):
            most = rate.burst + rate.per_second * ((span.last - at).total_seconds() + 1)
            assert len(self.limits.leased) - place <= most

    # Keys

    @rule(number=st.integers(1, 3), key=st.sampled_from("kl"))
    def dispatch_keyed(self, number: int, key: str) -> None:
        self._dispatch([self._spec(KEYED, "x", concurrency_key=key) for _ in range(number)])

    def _judge_keys(self, got: Sequence[JobId]) -> None:
        """No key has two running jobs in one queue."""
        at_once = [self.model.jobs[job_id].spec for job_id in [*got, *self.model.in_state(State.RUNNING)]]
        keys = Counter((spec.queue, spec.concurrency_key) for spec in at_once if spec.concurrency_key is not None)
        assert set(keys.values()) <= {1}

    @rule(which=WHICH)
    def work_off_keys(self, which: int) -> None:
        """Whatever came before, no job waits for a key that nobody has."""
        session = self.pick(self.alive(), which)
        while True:
            for job_id in self._of(KEYED, State.RUNNING):
                self._complete(self.model.jobs[job_id])
            before = len(self._of(KEYED, State.PENDING))
            self._claim(session, (KEYED,), None, (), MANY)
            if len(self._of(KEYED, State.PENDING)) == before:
                break

        self.compare()
        assert self._of(KEYED, State.PENDING) == []

    def _complete(self, job: Job) -> None:
        assert job.handle is not None
        [settled] = self.wait(self.driver.jobs.settle([Settlement(job.spec.id, job.attempt, job.handle, COMPLETE)]))
        job.complete()
        assert (settled.verdict, settled.state) == (SettleVerdict.OK, State.COMPLETED)
        self.touch(job.spec.id)

    # Schedules

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

    # Many at once

    @rule(queue=st.sampled_from([0, LIMITED, KEYED]), action=st.sampled_from([Action.CANCEL, Action.CANCEL, Action.DELETE]))
    def act_on_a_whole_queue(self, queue: int, action: Action) -> None:
        self.follow_expiry()
        query = ListQuery(where=parse(f"queue = {self.queues[queue]}"), newest_first=False, limit=MANY)

        done = self.wait(BulkJobs(self.driver, Wait(self.driver, SystemClock())).step(Bulk(action=action, query=query)))

        touched = self._of(queue, *WAITING, *((State.RUNNING,) if action is Action.CANCEL else FINAL))
        assert (done.changed, done.skipped, done.follows) == (len(touched), 0, False)
        for job_id in touched:
            job = self.model.jobs[job_id]
            if action is Action.DELETE:
                job.delete()
            elif job.is_waiting:
                job.end_unleased(Code.CANCELLED, State.CANCELLED)
            else:
                job.cancel_asked = True
        self.touch(*touched)

    def _of(self, queue: int, *states: State) -> list[JobId]:
        """Return the jobs of a queue in one of these states."""
        return [job_id for job_id in self.model.in_state(*states) if self.model.jobs[job_id].spec.queue == self.queues[queue]]

    async def _leave(self) -> None:
        for name in self.schedules:
            with suppress(ScheduleNotFound):
                await self.driver.schedules.change(self._full(name), remove())
        await super()._leave()


def _multiples(interval: timedelta, after: datetime, to: datetime) -> set[datetime]:
    """Return the ticks behind one instant, up to another."""
    first, last = ((at - EPOCH) // interval for at in (after, to))
    return {EPOCH + n * interval for n in range(first + 1, last + 1)}

"""What every step of the walk stands on: a store and a model, and the comparison of one with the other after each step."""

import asyncio
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant
from protojobs_service.domain.errors import QueueNotFound
from protojobs_service.domain.event import LOGGED, EventType
from protojobs_service.domain.job import AttemptRecord, JobId, JobRecord
from protojobs_service.domain.lifecycle import RETAKEN, Code, State

from tests.contract.acts import Span, events_since
from tests.contract.backends import Bench
from tests.contract.model import FINAL, Job, Model

T = TypeVar("T")

QUEUES = ("a", "b", "limited", "keyed", "ticking")
LIMITED, KEYED, TICKING = 2, 3, 4
UNREAD = 20
"""Histories that are read together: they only grow, so that a few steps later is as good."""
EVERY = 6
"""In how many steps once all jobs are read, and not only those that the step may have changed."""
MANY = 1000
_READERS = 8  # at a time: fewer than a store has connections, for one of which a read waits a second at most

# Which one of what there is: an index that wraps around, so that shrinking keeps its meaning.
WHICH = st.integers(0, 31)
SOME = st.integers(0, 255)
KINDS = st.sampled_from("xy")


@dataclass(frozen=True, slots=True)
class World:
    """How a walk gets an empty store of the backend, and waits for it."""

    open: Callable[[], AbstractAsyncContextManager[Bench]]
    runner: asyncio.Runner


class Ground(RuleBasedStateMachine):
    """One walk, in a store of its own."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.opening = world.open()
        bench = world.runner.run(_enter(self.opening))
        self.driver, self.clock = bench.driver, bench.clock
        self.model = Model()
        name = f"walk-{secrets.token_hex(6)}"
        self.queues = [f"{name}-{place}" for place in QUEUES]
        self.touched: set[JobId] = set()
        self.unread: set[JobId] = set()
        self.sound = False
        self.steps = 0
        self.doomed = 0
        self.began = self.wait(self.driver.events.end()).position

    @initialize(place=st.integers(0, len(QUEUES) - 1))
    def choose_what_is_deleted_at_the_end(self, place: int) -> None:
        self.doomed = place

    def wait(self, call: Coroutine[Any, Any, T]) -> T:
        """Return the value of a coroutine."""
        self.sound = False
        return self.world.runner.run(call)

    def during(self, call: Coroutine[Any, Any, T]) -> tuple[T, Span]:
        """Return the value of a coroutine, and the span of store's time in which it ran."""
        first = self.clock.now()
        value = self.wait(call)
        return value, Span(first, self.clock.now())

    def recount(self) -> None:
        """Compare every job, and the numbers of every queue; counting anew mends nothing."""
        self.compare()
        numbers, _ = self.wait(self.driver.queues.stats(None))
        told = {each.queue: each.counts for each in numbers}
        assert told.keys() <= set(self.queues)
        for queue in self.queues:
            counted = Counter(job.state for job in self.model.jobs.values() if job.spec.queue == queue)
            counts = told.get(queue, {})
            assert {state: counts.get(state, 0) for state in State} == {state: counted[state] for state in State}
        assert self.wait(self.driver.queues.reconcile()) == 0

    @invariant()
    def store_is_what_the_model_says(self) -> None:
        self.steps += 1
        if self.steps % EVERY == 0:
            self.compare()
        elif self.touched:
            self._compare_some(self.touched | self.model.mortal())
        self.unread |= self.touched
        self.touched = set()
        if len(self.unread) > UNREAD:
            self._compare_histories()
        self.sound = True

    def compare(self) -> None:
        """Compare every job; where its deadline has passed and whoever met it has ended it, the model follows."""
        self._compare_some(self.model.jobs)

    def _compare_some(self, wanted: Iterable[JobId]) -> None:
        ids = list(wanted)
        if not ids:
            return
        records = self.wait(self.driver.jobs.get(ids))
        expirable = self.model.expirable(self.clock.now())
        for job_id, record in zip(ids, records, strict=True):
            job = self.model.jobs[job_id]
            if record is None:
                assert job.state is None
                continue
            if job_id in expirable and record.state is State.EXPIRED:
                job.end_unleased(Code.EXPIRED, State.EXPIRED)
                self.touch(job_id)
            assert record.state is job.state
            assert (record.attempt, record.failures, record.crashes) == (job.attempt, job.failures, job.crashes)
            assert (record.cancel_requested, record.envelope) == (job.cancel_asked, job.envelope)
            self._learn_end(job, record)
            if job.state in (State.SCHEDULED, State.RETRYING):
                assert record.next_at is not None
                assert job.next_at in (None, record.next_at)
                job.next_at = record.next_at
            else:
                assert record.next_at is None

    def _learn_end(self, job: Job, record: JobRecord) -> None:
        if job.state in FINAL:
            assert record.finished_at is not None
            assert job.finished_at in (None, record.finished_at)
            job.finished_at = record.finished_at
        else:
            job.finished_at = None

    def follow_expiry(self) -> None:
        """Learn which of the jobs whose deadline has passed have been ended by now."""
        self._compare_some(self.model.mortal())

    def _compare_histories(self) -> None:
        ids, self.unread = sorted(self.unread), set()
        histories = self.wait(self._histories(ids))
        for job_id, attempts in zip(ids, histories, strict=True):
            job = self.model.jobs[job_id]
            if job.state is None:
                assert attempts is None
                continue
            expected: list[tuple[int, Code | None]] = [(number, end.code) for number, end in sorted(job.ended.items())]
            if job.state is State.RUNNING:
                expected.append((job.attempt, None))
            assert attempts == expected
            assert sum(code is not None and code.is_final for _, code in expected) == (job.state in FINAL)

    async def _histories(self, ids: Sequence[JobId]) -> list[list[tuple[int, Code | None]] | None]:
        histories: list[Sequence[AttemptRecord] | None] = []
        for start in range(0, len(ids), _READERS):
            histories += await asyncio.gather(*map(self.driver.jobs.attempts, ids[start : start + _READERS]))
        return [None if rows is None else [(row.attempt, row.outcome) for row in rows] for rows in histories]

    def _of(self, queue: int, *states: State) -> list[JobId]:
        """Return the jobs of a queue in one of these states."""
        return [job_id for job_id in self.model.in_state(*states) if self.model.jobs[job_id].spec.queue == self.queues[queue]]

    def touch(self, *ids: JobId) -> None:
        """Note what a step may have changed: it is compared after the step, and its history later."""
        self.touched.update(ids)

    def pick(self, things: Sequence[T], which: int) -> T:
        """Return one of several."""
        return things[which % len(things)]

    def teardown(self) -> None:
        """Read what was not read yet, and delete a queue, unless the walk has failed."""
        try:
            if self.sound:
                self.compare()
                self._compare_histories()
                self._compare_events()
                self._delete_a_queue()
        finally:
            self.wait(_exit(self.opening))

    def _delete_a_queue(self) -> None:
        """Delete one with whatever stands in it: its jobs are gone, all others are as they were."""
        name = self.queues[self.doomed]

        self.wait(self._leave(name))

        jobs = self.model.jobs
        there = {job_id for job_id, record in zip(jobs, self.wait(self.driver.jobs.get(list(jobs))), strict=True) if record}
        assert there == {job_id for job_id, job in jobs.items() if job.state is not None and job.spec.queue != name}
        assert self.wait(self.driver.queues.reconcile()) == 0

    def _compare_events(self) -> None:
        """Every end of the walk is in the log, once, and nothing else. A crash that was taken back has been told before."""
        told: defaultdict[JobId, list[tuple[int, EventType]]] = defaultdict(list)
        for event in self.wait(events_since(self.driver, self.began)):
            told[event.id].append((event.attempt, event.type))
        known = self.model.jobs | self.model.gone
        assert told.keys() <= known.keys()
        for job_id, job in known.items():
            seen = set(told[job_id])
            assert len(seen) == len(told[job_id])
            assert sum(type_ is EventType.DELETED for _, type_ in seen) == (job.state is None)
            if job.state is None:
                continue  # its history is gone, from the model too
            codes = {number: Code(end.code - RETAKEN if end.code > RETAKEN else end.code) for number, end in job.ended.items()}
            expected = {(number, LOGGED[code]) for number, code in codes.items() if code in LOGGED}
            assert expected <= seen
            assert all((codes[number], type_) == (Code.RELEASED, EventType.RETRYING) for number, type_ in seen - expected)

    async def _leave(self, queue: str) -> None:
        for session in self.model.sessions:
            await self.driver.sessions.close(session.handle, [])
        with suppress(QueueNotFound):
            await self.driver.queues.delete(queue, force=True)


async def _enter(opening: AbstractAsyncContextManager[Bench]) -> Bench:
    return await opening.__aenter__()


async def _exit(opening: AbstractAsyncContextManager[Bench]) -> None:
    await opening.__aexit__(None, None, None)

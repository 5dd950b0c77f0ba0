"""What every step of the walk stands on: a store and a model, and the comparison of one with the other after each step."""

import asyncio
import secrets
from collections import Counter, defaultdict
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant
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
UNREAD = 10
MANY = 1000
_READERS = 8  # at a time: fewer than a store has connections, for one of which a read waits a second at most

# Which one of what there is: an index that wraps around, so that shrinking keeps its meaning.
WHICH = st.integers(0, 31)
SOME = st.integers(0, 255)
KINDS = st.sampled_from("xy")


@dataclass(frozen=True, slots=True)
class World:
    """The store of one backend, shared by every walk, and how to wait for it."""

    bench: Bench
    runner: asyncio.Runner


class Ground(RuleBasedStateMachine):
    """One walk, in queues of its own."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.driver, self.clock = world.bench.driver, world.bench.clock
        self.model = Model()
        name = f"walk-{secrets.token_hex(6)}"
        self.queues = [f"{name}-{place}" for place in QUEUES]
        self.touched: set[JobId] = set()
        self.unread: set[JobId] = set()
        self.sound = False
        self.began = self.wait(self.driver.events.end()).position

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
        self.compare()
        for queue in self.queues:
            numbers, _ = self.wait(self.driver.queues.stats(queue))
            counted = Counter(job.state for job in self.model.jobs.values() if job.spec.queue == queue)
            for each in numbers:
                assert {state: each.counts.get(state, 0) for state in State} == {state: counted[state] for state in State}
        assert self.wait(self.driver.queues.reconcile()) == 0

    @invariant()
    def store_is_what_the_model_says(self) -> None:
        if self.touched:
            self.compare()
            self.unread |= self.touched
            self.touched = set()
        if len(self.unread) > UNREAD:
            self._compare_histories()
        self.sound = True

    def compare(self) -> None:
        """Compare every job; where its deadline has passed and whoever met it has ended it, the model follows."""
        ids = list(self.model.jobs)
        records = self.wait(self.driver.jobs.get(ids))
        expirable = self.model.expirable(self.clock.now()) if self.model.deadlines() else set[JobId]()
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
        if self.model.deadlines():
            self.compare()

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
        """Note whose history is to be compared; histories only grow, so that a few steps later is as good."""
        self.touched.update(ids)

    def pick(self, things: Sequence[T], which: int) -> T:
        """Return one of several."""
        return things[which % len(things)]

    def teardown(self) -> None:
        """Read what was not read yet, unless the walk has failed, and leave nothing behind for the next one."""
        if self.sound:
            self.compare()
            self._compare_histories()
            self._compare_events()
        self.wait(self._leave())

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

    async def _leave(self) -> None:
        for session in self.model.sessions:
            await self.driver.sessions.close(session.handle, [])
        for queue in self.queues:
            with suppress(QueueNotFound):
                await self.driver.queues.delete(queue, force=True)

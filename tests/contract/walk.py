"""A random walk over jobs and sessions; after each step the store must be what the model says. `walk_wider` goes further."""

import asyncio
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from protojobs_service.domain.errors import QueueNotFound
from protojobs_service.domain.event import LOGGED, EventType
from protojobs_service.domain.job import Handle, JobId, Lease, NewJob
from protojobs_service.domain.lifecycle import RETAKEN, Code, State
from protojobs_service.domain.outcome import COMPLETE, Crash, Fail, JobError, Outcome, Release, Snooze
from protojobs_service.domain.retry import Jitter, Policy
from protojobs_service.domain.unique import OnConflict, Unique, UniqueScope
from protojobs_service.port import (
    Claim,
    Dispatched,
    DispatchVerdict,
    Edit,
    EditResult,
    Held,
    Opening,
    Retake,
    RetakeResult,
    Settlement,
    SettleVerdict,
)

from tests.contract.acts import SECOND, Span, events_since, new_id, new_job
from tests.contract.backends import Bench
from tests.contract.model import FINAL, Job, Model, Session

T = TypeVar("T")

UNREAD = 10
MANY = 1000
TTL = timedelta(minutes=10)
FAIL = Fail(error=JobError(type="E", message="m"))

# Which one of what there is: an index that wraps around, so that shrinking keeps its meaning.
WHICH = st.integers(0, 31)
SOME = st.integers(0, 255)
KINDS = st.sampled_from("xy")
PRIORITIES = st.sampled_from([2, 5, 8])


@dataclass(frozen=True, slots=True)
class World:
    """The store of one backend, shared by every walk, and how to wait for it."""

    bench: Bench
    runner: asyncio.Runner


class Walk(RuleBasedStateMachine):
    """One walk, in queues of its own."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.driver, self.clock = world.bench.driver, world.bench.clock
        self.model = Model()
        name = f"walk-{secrets.token_hex(6)}"
        self.queues = [f"{name}-a", f"{name}-b"]
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

    # Jobs come.

    @rule(
        number=st.integers(1, 4),
        queue=st.integers(0, 1),
        kind=KINDS,
        priority=PRIORITIES,
        max_retries=st.integers(0, 2),
        delay=st.sampled_from([None, None, None, 1, 3]),
        expire=st.sampled_from([None, None, None, 1, 7]),
    )
    def dispatch(
        self, number: int, queue: int, kind: str, priority: int, max_retries: int, delay: int | None, expire: int | None
    ) -> None:
        times = {"delay": None if delay is None else delay * SECOND, "expire_at": self._in(expire)}
        self._dispatch([self._spec(queue, kind, priority, max_retries, **times) for _ in range(number)])

    @rule(
        key=st.sampled_from("ab"),
        scope=st.sampled_from([UniqueScope.UNTIL_START, UniqueScope.UNTIL_DONE]),
        on_conflict=st.sampled_from([OnConflict.REJECT, OnConflict.RETURN_EXISTING, OnConflict.REPLACE]),
        delay=st.sampled_from([None, None, 2]),
    )
    def dispatch_unique(self, key: str, scope: UniqueScope, on_conflict: OnConflict, delay: int | None) -> None:
        unique = Unique(key=key, scope=scope, on_conflict=on_conflict)
        spec = self._spec(0, "x", unique=unique, delay=None if delay is None else delay * SECOND)
        self.follow_expiry()
        holder = self.model.holder(spec)
        if holder is None:
            self._dispatch([spec])
            return

        [answer] = self.wait(self.driver.jobs.dispatch([spec]))

        if on_conflict is OnConflict.RETURN_EXISTING:
            assert answer == Dispatched(DispatchVerdict.EXISTING, holder.state, holder.spec.id)
        elif on_conflict is OnConflict.REJECT or not holder.is_waiting:
            assert answer == Dispatched(DispatchVerdict.DUPLICATE, None, holder.spec.id)
        else:
            assert answer == Dispatched(DispatchVerdict.REPLACED, self._expect(spec), holder.spec.id)
            holder.end_unleased(Code.CANCELLED, State.CANCELLED)
        self.touch(holder.spec.id)

    def _in(self, seconds: int | None) -> datetime | None:
        return None if seconds is None else self.clock.now() + seconds * SECOND

    def _spec(self, queue: int, kind: str, priority: int = 5, max_retries: int = 1, **times: Any) -> NewJob:
        policy = Policy(max_retries=max_retries, initial_backoff=2 * SECOND, max_backoff=4 * SECOND, jitter=Jitter.NONE)
        return new_job(self.queues[queue], kind, priority=priority, policy=policy, **times)

    def _dispatch(self, specs: Sequence[NewJob]) -> None:
        answers = self.wait(self.driver.jobs.dispatch(specs))

        for spec, answer in zip(specs, answers, strict=True):
            assert answer == Dispatched(DispatchVerdict.CREATED, self._expect(spec))
        self.touch(*(spec.id for spec in specs))

    def _expect(self, spec: NewJob) -> State:
        """Put a new job into the model; return its state."""
        state = State.PENDING if spec.delay is None else State.SCHEDULED
        max_retries = 0 if spec.policy is None else spec.policy.max_retries
        job = Job(spec, state, max_retries, spec.envelope, expire_at=spec.expire_at, overdue_at=spec.expire_at)
        self.model.jobs[spec.id] = job
        self.model.pend(job)
        return state

    @precondition(lambda self: self.model.jobs)
    @rule(which=WHICH)
    def dispatch_again(self, which: int) -> None:
        job = self.model.jobs[self.pick(list(self.model.jobs), which)]
        self.follow_expiry()

        first = job.dispatched or job.spec
        same, other = self.wait(self.driver.jobs.dispatch([first, first._replace(envelope=first.envelope + b"!")]))

        assert same == Dispatched(DispatchVerdict.EXISTING, job.state)
        assert other == Dispatched(DispatchVerdict.REUSED, None)
        self.touch(job.spec.id)

    # Workers take them.

    @initialize()
    def open_two_sessions(self) -> None:
        self.open_session()
        self.open_session()

    def open_session(self) -> None:
        secret = secrets.token_bytes(16)
        opened = self.wait(self.driver.sessions.open(self._opening(secret, 1, ())))
        self.model.sessions.append(Session(opened.session, secret, 1, [opened.handle]))

    def _opening(self, secret: bytes, stream_no: int, held: Sequence[Held]) -> Opening:
        return Opening(
            secret=secret,
            stream_no=stream_no,
            worker="w",
            sdk="s",
            sdk_version="1",
            queues=self.queues,
            kinds=(),
            slots=8,
            ttl=TTL,
            held=held,
        )

    @rule(which=WHICH, limit=st.integers(1, 6))
    def claim(self, which: int, limit: int) -> None:
        self._claim(self.pick(self.alive(), which), (0, 1), None, (), limit)

    @rule(number=st.integers(1, 4), queue=st.integers(0, 1), kind=KINDS, which=WHICH)
    def dispatch_and_claim(self, number: int, queue: int, kind: str, which: int) -> None:
        self._dispatch([self._spec(queue, kind) for _ in range(number)])
        self._claim(self.pick(self.alive(), which), (0, 1), None, (), MANY)

    @rule(
        which=WHICH,
        queues=st.sampled_from([(1, 0), (0,), (1,)]),
        kinds=st.sampled_from([None, "x", "y"]),
        barred=st.sampled_from(["", "x"]),
        limit=st.integers(1, 3),
    )
    def claim_some(self, which: int, queues: tuple[int, ...], kinds: str | None, barred: str, limit: int) -> None:
        self._claim(self.pick(self.model.sessions, which), queues, kinds, barred, limit)

    @rule(which=WHICH, old=WHICH)
    def claim_by_a_closed_handle(self, which: int, old: int) -> None:
        session = self.pick([session for session in self.model.sessions if len(session.handles) > 1] or self.model.sessions, which)
        closed = session.handles[: -1 if session.alive else None] or [Handle(2**31 - 1)]
        handle = self.pick(closed, old)
        self._dispatch([self._spec(0, "x")])

        leases = self.wait(self.driver.jobs.claim([Claim(handle, tuple(self.queues), None, frozenset(), MANY, 0)]))

        assert list(leases) == []

    def _claim(
        self, session: Session, queues: Sequence[int], kinds: Iterable[str] | None, barred: Iterable[str], limit: int
    ) -> None:
        names = tuple(self.queues[queue] for queue in queues)
        claim = Claim(session.handle, names, None if kinds is None else frozenset(kinds), frozenset(barred), limit, 0)

        leases, span = self.during(self.driver.jobs.claim([claim]))

        self._judge_leases(claim, leases, span, alive=session.alive)
        for lease in leases:
            job = self.model.jobs[lease.id]
            job.lease(session.number, session.handle)
            assert (lease.handle, lease.attempt) == (session.handle, job.attempt)
            assert (lease.envelope, lease.failures) == (job.envelope, job.failures)
        self.touch(*(lease.id for lease in leases))

    def _judge_leases(self, claim: Claim, leases: Sequence[Lease], span: Span, *, alive: bool) -> None:
        model = self.model
        may = {
            job_id
            for job_id in model.in_state(State.PENDING)
            if alive
            and (job := model.jobs[job_id]).spec.queue in claim.queues
            and (claim.kinds is None or job.spec.kind in claim.kinds)
            and job.spec.kind not in claim.barred
        } - model.overdue(span.first)
        got = [lease.id for lease in leases]
        must = self.due(claim, got, may - model.expirable(span.last), span)
        assert len(set(got)) == len(got) <= claim.limit
        assert set(got) <= may
        assert len(got) == claim.limit or set(got) >= must
        # What was left must not have a better claim than what was taken: by queue and priority, and within a kind by arrival.
        left = must - set(got)
        assert [self._order(claim, job_id) for job_id in got] == sorted(self._order(claim, job_id) for job_id in got)
        if got and left:
            assert max(self._order(claim, job_id) for job_id in got) <= min(self._order(claim, job_id) for job_id in left)
        for place, job_id in enumerate(got):
            rivals = [other for other in [*got[place + 1 :], *left] if self._lane(other) == self._lane(job_id)]
            if model.jobs[job_id].spec.concurrency_key is not None:
                continue  # who waits for a key is passed
            assert all(model.jobs[job_id].rank <= model.jobs[other].rank for other in rivals)

    def due(self, claim: Claim, got: Sequence[JobId], could: set[JobId], span: Span) -> set[JobId]:
        """Return the jobs that nothing keeps back from a claim with room for all."""
        return could

    def _order(self, claim: Claim, job_id: JobId) -> tuple[int, int]:
        spec = self.model.jobs[job_id].spec
        return claim.queues.index(spec.queue), -spec.priority

    def _lane(self, job_id: JobId) -> tuple[str, str, int]:
        spec = self.model.jobs[job_id].spec
        return spec.queue, spec.kind, spec.priority

    # Workers end them.

    @rule(which=WHICH)
    def complete(self, which: int) -> None:
        self._settle_running(which, COMPLETE, Job.complete)

    @rule(which=WHICH, retryable=st.booleans(), retry_after=st.sampled_from([None, 1, 5]))
    def fail(self, which: int, retryable: bool, retry_after: int | None) -> None:
        outcome = Fail(error=FAIL.error, retryable=retryable, retry_after=None if retry_after is None else retry_after * SECOND)
        self._settle_running(which, outcome, lambda job: job.fail(retryable=retryable))

    @rule(which=WHICH, seconds=st.sampled_from([0, 2, 6]))
    def snooze(self, which: int, seconds: int) -> None:
        self._settle_running(which, Snooze(delay=seconds * SECOND), Job.snooze)

    @rule(which=WHICH)
    def release(self, which: int) -> None:
        self._settle_running(which, Release(), lambda job: job.give_back(told=True))

    def _settle_running(self, which: int, outcome: Outcome, effect: Callable[[Job], None]) -> None:
        if not self.model.in_state(State.RUNNING):
            self.dispatch_and_claim(2, 0, "x", which)
        job = self.model.jobs[self.pick(self.model.in_state(State.RUNNING), which)]
        assert job.handle is not None
        item = Settlement(job.spec.id, job.attempt, job.handle, outcome)

        first, again = self.wait(self.driver.jobs.settle([item, item]))

        effect(job)
        job.next_at = first.next_at
        if job.state is State.PENDING:
            self.model.pend(job, front=True)
        assert (first.verdict, first.state) == (SettleVerdict.OK, job.state)
        assert (again.verdict, again.state) == (SettleVerdict.ALREADY, job.state)
        assert (first.next_at is not None) is (job.state in (State.SCHEDULED, State.RETRYING))
        self.touch(job.spec.id)

    @precondition(lambda self: self.model.jobs)
    @rule(
        which=WHICH,
        runs=st.booleans(),
        back=st.sampled_from([0, 0, 1, 2]),
        session=WHICH,
        handle=WHICH,
        outcome=st.sampled_from([COMPLETE, FAIL, Release()]),
    )
    def settle_what_is_not_there(self, which: int, runs: bool, back: int, session: int, handle: int, outcome: Outcome) -> None:
        wanted = self.model.in_state(State.RUNNING) if runs else []
        job = self.model.jobs[self.pick(wanted or list(self.model.jobs), which)]
        holder = [each for each in self.model.sessions if each.number == job.session and job.state is State.RUNNING and runs]
        settler = self.pick(holder or self.model.sessions, session)
        by = self.pick(settler.handles, handle)
        number = max(0, job.attempt - back)
        self.follow_expiry()
        running = job.state is State.RUNNING and number == job.attempt and job.session == settler.number
        if running and job.handle == by:
            return  # that one is there
        end = job.ended.get(number)

        [answer] = self.wait(self.driver.jobs.settle([Settlement(job.spec.id, number, by, outcome)]))

        if running:
            assert answer.verdict is SettleVerdict.RETRY_LATER
        elif end is not None and end.told and end.session == settler.number:
            assert (answer.verdict, answer.state) == (SettleVerdict.ALREADY, job.state)
        elif job.state is None:
            assert answer.verdict in (SettleVerdict.SUPERSEDED, SettleVerdict.ALREADY)
        else:
            assert answer.verdict is SettleVerdict.SUPERSEDED
        self.touch(job.spec.id)

    # Operators act on them.

    @precondition(lambda self: self.model.jobs)
    @rule(which=WHICH)
    def cancel(self, which: int) -> None:
        job = self.model.jobs[self.pick(list(self.model.jobs), which)]
        self.follow_expiry()

        results = self.wait(self.driver.jobs.cancel([job.spec.id, new_id()], SECOND))

        if job.is_waiting:
            job.end_unleased(Code.CANCELLED, State.CANCELLED)
        job.cancel_asked = job.state is State.RUNNING
        assert results == [(job.state is not None, job.state), (False, None)]
        self.touch(job.spec.id)

    @precondition(lambda self: self.model.jobs)
    @rule(which=WHICH, back=st.sampled_from([None, 0, 0, 1]))
    def retake(self, which: int, back: int | None) -> None:
        job = self.model.jobs[self.pick(list(self.model.jobs), which)]
        expected = 0 if back is None else max(0, job.attempt - back)
        self.follow_expiry()
        already = job.state is not None and expected > 0 and job.has_gone_on_from(expected)
        refused = not already and job.state in (State.PENDING, State.RUNNING)
        rival = self.model.holder(job.spec) if not already and job.state in FINAL else None

        [result] = self.wait(self.driver.jobs.retake([Retake(id=job.spec.id, expected_attempt=expected)]))

        if job.state is not None and not already and not refused and rival is None:
            job.retake()
            self.model.pend(job)
        assert result == RetakeResult(job.state is not None, job.state, already, refused, None if rival is None else rival.spec.id)
        self.touch(job.spec.id)

    @precondition(lambda self: self.model.jobs)
    @rule(which=WHICH, queue=st.integers(0, 1), priority=PRIORITIES, at_once=st.booleans())
    def edit(self, which: int, queue: int, priority: int, at_once: bool) -> None:
        job = self.model.jobs[self.pick(list(self.model.jobs), which)]
        self.follow_expiry()
        target, unique = self.queues[queue], job.spec.unique
        moves_key = unique is not None and target != job.spec.queue and job.has_key(job.spec.queue, unique.key)
        rival = self.model.holder(job.spec._replace(queue=target)) if job.is_waiting and moves_key else None
        start = timedelta() if at_once else None
        edit = Edit(id=job.spec.id, envelope=lambda envelope: envelope + b"e", queue=target, priority=priority, start=start)

        [result] = self.wait(self.driver.jobs.edit([edit]))

        if rival is not None:
            assert result == EditResult(found=True, state=None, duplicate=rival.spec.id)
        else:
            if job.is_waiting:
                job.edit(target, priority, job.envelope + b"e", at_once=at_once)
                if job.state is State.PENDING:
                    self.model.pend(job)
            assert result == EditResult(job.state is not None, job.state)
        self.touch(job.spec.id)

    @precondition(lambda self: self.model.jobs)
    @rule(which=WHICH, sure=st.integers(0, 3))
    def delete(self, which: int, sure: int) -> None:
        job = self.model.jobs[self.pick(list(self.model.jobs), which)]
        if sure:
            return  # deleting as often as all else would leave little to walk on
        self.follow_expiry()

        [result] = self.wait(self.driver.jobs.delete([job.spec.id]))

        if job.state is not State.RUNNING:
            job.delete()
        assert result == (True, job.state)
        self.touch(job.spec.id)

    # Sessions come and go.

    @rule(which=WHICH, kept=st.just(255) | SOME, started=SOME)
    def resume(self, which: int, kept: int, started: int) -> None:
        session = self.pick(self.model.sessions, which)
        had = self.model.running(session)
        keeps = [job_id for n, job_id in enumerate(had) if kept >> n % 8 & 1]
        crashed = [
            Held(job_id, number, started=True)
            for job_id, job in self.model.jobs.items()
            for number, end in job.ended.items()
            if end.code is Code.CRASHED and end.session == session.number
        ]
        kept_leases = [Held(job_id, self.model.jobs[job_id].attempt, bool(started >> n % 8 & 1)) for n, job_id in enumerate(keeps)]
        foreign = [Held(new_id(), 1, started=True)]

        opening = self._opening(session.secret, session.stream_no + 1, [*kept_leases, *crashed, *foreign])
        opened = self.wait(self.driver.sessions.open(opening))

        assert (opened.session, list(opened.kept), list(opened.lost)) == (session.number, kept_leases, [*crashed, *foreign])
        session.stream_no, session.alive = session.stream_no + 1, True
        session.handles.append(opened.handle)
        for lease in kept_leases:
            job = self.model.jobs[lease.id]
            job.handle, job.started = opened.handle, job.started or lease.started
        for lease in crashed:
            self.model.jobs[lease.id].take_back_crash(lease.attempt, session.number)
        self._returned([job_id for job_id in had if job_id not in keeps])
        self.touch(*had, *(lease.id for lease in crashed))

    @rule(which=WHICH, started=SOME)
    def kill(self, which: int, started: int) -> None:
        session = self._busy(which)
        had = self.model.running(session)
        begun = [job_id for n, job_id in enumerate(had) if started >> n % 8 & 1]
        for job_id in begun:
            self.model.jobs[job_id].started = True

        applied = self.wait(self._die(session, begun))

        session.alive = False
        expected = {(job_id, self.model.jobs[job_id].attempt, Crash(started=self.model.jobs[job_id].started)) for job_id in had}
        assert {(item.id, item.attempt, item.outcome) for item in applied} == expected
        assert all(item.handle == session.handle for item in applied)
        for place, job_id in enumerate(had):
            job = self.model.jobs[job_id]
            job.crash()
            self.model.pend(job, front=True, together=place > 0)
        self.touch(*had)

    async def _die(self, session: Session, begun: Sequence[JobId]) -> Sequence[Settlement]:
        await self.driver.sessions.beat()
        await self.driver.sessions.detach(session.handle, begun, SECOND)
        await self.clock.advance(1.2 * SECOND)
        return await self.driver.sessions.rescue(MANY)

    @rule(which=WHICH)
    def close(self, which: int) -> None:
        session = self._busy(which)
        had = self.model.running(session)

        returned = self.wait(self.driver.sessions.close(session.handle, []))

        session.alive = False
        assert returned == len(had)
        self._returned(had)
        self.touch(*had)

    def _busy(self, which: int) -> Session:
        """Return a living session that runs something."""
        session = self.pick(self.alive(), which)
        if not self.model.running(session):
            self._dispatch([self._spec(1, "y"), self._spec(1, "y")])
            self._claim(session, (1, 0), None, (), 3)
        return session

    def _returned(self, ids: Sequence[JobId]) -> None:
        for place, job_id in enumerate(ids):
            job = self.model.jobs[job_id]
            job.give_back(told=False)
            self.model.pend(job, front=True, together=place > 0)

    # Time passes.

    @rule(seconds=st.sampled_from([0, 2, 12]), promote=st.booleans(), expire=st.booleans(), recount=st.booleans())
    def time_passes(self, seconds: int, promote: bool, expire: bool, recount: bool) -> None:
        self.wait(self.clock.advance(seconds * SECOND))
        self.wait(self.driver.sessions.beat())
        if promote:
            self._promote()
        if expire:
            self._expire()
        if recount:
            self._recount()

    def _promote(self) -> None:
        promoted, span = self.during(self.driver.jobs.promote(MANY))

        sure, possible = self.model.due(span.first), self.model.due(span.last)
        assert len(sure) <= promoted <= len(possible)
        for job_id in possible[:promoted]:
            job = self.model.jobs[job_id]
            job.state, job.next_at = State.PENDING, None
            self.model.pend(job)
        self.touch(*possible)

    def _expire(self) -> None:
        ended, span = self.during(self.driver.jobs.expire(MANY))

        sure, possible = self.model.overdue(span.first), self.model.expirable(span.last)
        assert ended <= len(possible)
        self.model.spare(span.last)
        self.compare()
        assert all(self.model.jobs[job_id].state is State.EXPIRED for job_id in sure)
        self.touch(*possible)

    # And everything adds up.

    def _recount(self) -> None:
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
            if job.state in (State.SCHEDULED, State.RETRYING):
                assert record.next_at is not None
                assert job.next_at in (None, record.next_at)
                job.next_at = record.next_at
            else:
                assert record.next_at is None

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
        histories = await asyncio.gather(*map(self.driver.jobs.attempts, ids))
        return [None if rows is None else [(row.attempt, row.outcome) for row in rows] for rows in histories]

    def alive(self) -> list[Session]:
        """Return the living sessions, at least one."""
        if not any(session.alive for session in self.model.sessions):
            self.open_session()
        return [session for session in self.model.sessions if session.alive]

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
        assert told.keys() <= self.model.jobs.keys()
        for job_id, job in self.model.jobs.items():
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

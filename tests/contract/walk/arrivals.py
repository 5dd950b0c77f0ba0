"""Jobs come: new ones, ones with unique keys, and the same ones again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from protojobs_service.domain.job import NewJob
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.retry import Jitter, Policy
from protojobs_service.domain.unique import OnConflict, Unique, UniqueScope
from protojobs_service.port import (
    Dispatched,
    DispatchVerdict,
)

from tests.contract.acts import SECOND, new_job
from tests.contract.model import Job
from tests.contract.walk.ground import KINDS, WHICH, Ground

PRIORITIES = st.sampled_from([2, 5, 8])


class Arrivals(Ground):
    """The rules by which jobs are dispatched."""

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

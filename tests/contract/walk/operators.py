"""Operators act on one job."""

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.port import (
    Edit,
    EditResult,
    Retake,
    RetakeResult,
)

from tests.contract.acts import SECOND, new_id
from tests.contract.model import FINAL
from tests.contract.walk.arrivals import PRIORITIES
from tests.contract.walk.ground import WHICH
from tests.contract.walk.outcomes import Outcomes


class Operators(Outcomes):
    """The rules by which jobs are cancelled, retried, edited and deleted."""

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
        there = job.has_payload  # without one there is nothing to take up again
        already = there and expected > 0 and job.has_gone_on_from(expected)
        refused = not already and job.state in (State.PENDING, State.RUNNING)
        rival = self.model.holder(job.spec) if there and not already and job.state in FINAL else None

        [result] = self.wait(self.driver.jobs.retake([Retake(id=job.spec.id, expected_attempt=expected)]))

        if there and not already and not refused and rival is None:
            job.retake()
            self.model.pend(job)
        state = job.state if there else None
        assert result == RetakeResult(there, state, already, refused, None if rival is None else rival.spec.id)
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

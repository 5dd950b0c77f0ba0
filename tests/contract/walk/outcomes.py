"""Workers end what they have, or what they never had."""

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import COMPLETE, Fail, JobError, Outcome, Release, Snooze
from protojobs_service.port import (
    Settlement,
    SettleVerdict,
)

from tests.contract.acts import SECOND
from tests.contract.model import Job
from tests.contract.walk.claims import Claims
from tests.contract.walk.ground import WHICH

FAIL = Fail(error=JobError(type="E", message="m"))


class Outcomes(Claims):
    """The rules by which attempts are settled."""

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

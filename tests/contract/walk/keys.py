"""A queue whose jobs have concurrency keys."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import rule
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import COMPLETE
from protojobs_service.port import (
    Claim,
    Settlement,
    SettleVerdict,
)

from tests.contract.acts import Span
from tests.contract.model import Job
from tests.contract.walk.ground import KEYED, MANY, WHICH
from tests.contract.walk.limits import LimitedQueue


class KeyedQueue(LimitedQueue):
    """The rules of the keyed queue."""

    @rule(number=st.integers(1, 3), key=st.sampled_from("kl"))
    def dispatch_keyed(self, number: int, key: str) -> None:
        self._dispatch([self._spec(KEYED, "x", concurrency_key=key) for _ in range(number)])

    def due(self, claim: Claim, got: Sequence[JobId], could: set[JobId], span: Span) -> set[JobId]:
        self._judge_keys(got)
        could = {job_id for job_id in could if self.model.jobs[job_id].spec.concurrency_key is None}
        return super().due(claim, got, could, span)

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

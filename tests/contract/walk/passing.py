"""Time passes, and brings what is due."""

from hypothesis import strategies as st
from hypothesis.stateful import rule
from protojobs_service.domain.lifecycle import State

from tests.contract.acts import SECOND
from tests.contract.walk.ground import MANY
from tests.contract.walk.sessions import Sessions


class Passing(Sessions):
    """The rules by which jobs are promoted and expire."""

    @rule(seconds=st.sampled_from([0, 2, 12]), promote=st.booleans(), expire=st.booleans(), recount=st.booleans())
    def time_passes(self, seconds: int, promote: bool, expire: bool, recount: bool) -> None:
        self.wait(self.clock.advance(seconds * SECOND))
        self.wait(self.driver.sessions.beat())
        if promote:
            self._promote()
        if expire:
            self._expire()
        if recount:
            self.recount()

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

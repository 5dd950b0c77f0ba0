"""Sessions are resumed, die and are closed, with what they have."""

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import rule
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import Code
from protojobs_service.domain.outcome import Crash
from protojobs_service.port import (
    Held,
    Settlement,
)

from tests.contract.acts import SECOND, new_id
from tests.contract.model import Session
from tests.contract.walk.ground import MANY, SOME, WHICH
from tests.contract.walk.operators import Operators


class Sessions(Operators):
    """The rules by which sessions come and go."""

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

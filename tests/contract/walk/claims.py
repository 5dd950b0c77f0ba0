"""Workers open sessions and take jobs: no more than may be taken, the right ones, in the right order."""

import secrets
from collections.abc import Iterable, Sequence
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from protojobs_service.domain.job import Handle, JobId, Lease
from protojobs_service.domain.lifecycle import State
from protojobs_service.port import (
    Claim,
    Held,
    Opening,
)

from tests.contract.acts import Span
from tests.contract.model import Session
from tests.contract.walk.arrivals import Arrivals
from tests.contract.walk.ground import KINDS, MANY, WHICH

TTL = timedelta(minutes=10)


class Claims(Arrivals):
    """The rules by which jobs are leased."""

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

    def alive(self) -> list[Session]:
        """Return the living sessions, at least one."""
        if not any(session.alive for session in self.model.sessions):
            self.open_session()
        return [session for session in self.model.sessions if session.alive]

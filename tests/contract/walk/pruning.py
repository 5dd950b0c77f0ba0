"""What finished jobs leave behind goes: first what they were made of, then all of them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.queue import Retention
from protojobs_service.port import ListQuery

from tests.contract.acts import SECOND, Span, new_id
from tests.contract.model import FINAL, ID_WINDOW, Fate, Job
from tests.contract.schedule_acts import EPOCH
from tests.contract.walk.ground import KINDS, MANY, TICKING, World
from tests.contract.walk.many import ManyAtOnce

SHORT = Retention(completed=5 * SECOND, cancelled=10 * SECOND, failed=20 * SECOND)
MOMENT = timedelta(milliseconds=1)
"""How exactly an id tells its time."""


class Pruning(ManyAtOnce):
    """The rules of retention."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.retention = dict.fromkeys(self.queues, Retention())

    @initialize()
    def keep_the_first_queue_shortly(self) -> None:
        self.keep(0, SHORT)

    @rule(queue=st.integers(0, TICKING), retention=st.sampled_from([SHORT, SHORT, Retention()]))
    def keep(self, queue: int, retention: Retention) -> None:
        name = self.queues[queue]
        self.wait(self.driver.queues.change(name, lambda old: replace(old, retention=retention)))
        self.retention[name] = retention

    @rule(number=st.integers(1, 3), kind=KINDS, seconds=st.sampled_from([2, 20]), cancels=st.booleans())
    def dispatch_with_old_ids(self, number: int, kind: str, seconds: int, cancels: bool) -> None:
        """Dispatch jobs whose ids are good for so many seconds more."""
        at = self.clock.now() - ID_WINDOW + seconds * SECOND
        ids = [_id_of(at) for _ in range(number)]
        self._dispatch([self._spec(0, kind, id=job_id) for job_id in ids])
        if cancels:
            self.wait(self.driver.jobs.cancel(ids, SECOND))
            for job_id in ids:
                self.model.jobs[job_id].end_unleased(Code.CANCELLED, State.CANCELLED)

    @rule(seconds=st.sampled_from([0, 6, 25]), states=st.sampled_from([(), (State.COMPLETED,), FINAL]))
    def prune(self, seconds: int, states: Sequence[State]) -> None:
        self.wait(self.clock.advance(seconds * SECOND))
        self.wait(self.driver.sessions.beat())
        self.recount()
        self._compare_histories()
        self._compare_lists(states)

        _, span = self.during(self._prune())

        self._follow_pruning(span)
        self.recount()
        self._compare_lists(states)

    async def _prune(self) -> None:
        while await self.driver.jobs.prune(MANY):
            pass

    def _follow_pruning(self, span: Span) -> None:
        sure = {job_id: self._fate(job, span.first - MOMENT) for job_id, job in self.model.jobs.items()}
        possible = {job_id: self._fate(job, span.last) for job_id, job in self.model.jobs.items()}
        ids = [job_id for job_id, fate in possible.items() if fate is not Fate.KEPT]
        for job_id, fate in zip(ids, self.wait(self._fates(ids)), strict=True):
            assert sure[job_id] <= fate <= possible[job_id]
            if fate is Fate.REMOVED:
                self.model.gone[job_id] = self.model.jobs.pop(job_id)
            elif fate is Fate.EMPTIED:
                self.model.jobs[job_id].envelope = b""
        self.touched &= self.model.jobs.keys()
        self.unread &= self.model.jobs.keys()

    def _fate(self, job: Job, now: datetime) -> Fate:
        return job.fate(self.retention[job.spec.queue], now)

    async def _fates(self, ids: Sequence[JobId]) -> list[Fate]:
        records = await self.driver.jobs.get(ids)
        fates = [Fate.REMOVED if r is None else Fate.KEPT if r.envelope else Fate.EMPTIED for r in records]
        # Deleted jobs are not seen either, but deleting them again tells whether their ids are known.
        hidden = [place for place, job_id in enumerate(ids) if self.model.jobs[job_id].state is None]
        for place, (known, _) in zip(hidden, await self.driver.jobs.delete([ids[place] for place in hidden]), strict=True):
            fates[place] = Fate.EMPTIED if known else Fate.REMOVED
        return fates

    def _compare_lists(self, states: Sequence[State]) -> None:
        listed = self.wait(self.driver.jobs.list(ListQuery(queues=self.queues, states=states, newest_first=False, limit=MANY))).jobs

        expected = sorted(self.model.in_state(*(states or State)))
        assert [(each.id, each.envelope) for each in listed] == [(i, self.model.jobs[i].envelope) for i in expected]
        gone = sorted(self.model.gone)
        assert list(self.wait(self.driver.jobs.get(gone))) == [None] * len(gone)
        assert self.wait(self._histories(gone)) == [None] * len(gone)


def _id_of(at: datetime) -> JobId:
    """Return an id that was made at that time."""
    return JobId(((at - EPOCH) // MOMENT).to_bytes(6) + new_id()[6:])

"""Dispatch: resolve what the queue decides, refuse ids that are too far off in time, store."""

from collections.abc import Sequence

from protojobs_service.application.clock import Clock
from protojobs_service.application.known_queues import KnownQueues
from protojobs_service.application.lease_errands import Errands
from protojobs_service.application.store_time import StoreTime
from protojobs_service.application.under_way import UnderWay
from protojobs_service.domain.errors import (
    BatchAborted,
    DuplicateJob,
    JobIdReused,
    JobIdTime,
    JobsError,
    QueueFull,
    QueueFullForNow,
    StoreUnavailable,
)
from protojobs_service.domain.job import Draft, JobId, NewJob
from protojobs_service.domain.queue_limits import Overflow
from protojobs_service.port import Dispatched, DispatchVerdict, Driver

Answer = Dispatched | JobsError
"""Dispatched with CREATED, EXISTING or REPLACED; or why the item is refused: JobIdTime, JobIdReused, DuplicateJob,
QueueFull (ForNow), BatchAborted,
StoreUnavailable."""

_REFUSALS: dict[DispatchVerdict, type[JobIdReused | BatchAborted | StoreUnavailable]] = {
    DispatchVerdict.REUSED: JobIdReused,
    DispatchVerdict.ABORTED: BatchAborted,
    DispatchVerdict.UNAVAILABLE: StoreUnavailable,
}


class Dispatch:
    """Stores jobs that the wire has checked."""

    def __init__(self, driver: Driver, queues: KnownQueues, store_time: StoreTime, errands: Errands, clock: Clock) -> None:
        self._driver = driver
        self._queues = queues
        self._store_time = store_time
        self._errands = errands
        self._under_way = UnderWay(clock)

    def admit(self) -> None:
        """Raise Overloaded where the caller has so many jobs on their way that more would wait for seconds; nothing is stored then.

        To be asked before what is sent is read: a flood is refused for next to nothing.
        """
        self._under_way.check()

    async def many(self, drafts: Sequence[Draft], *, atomic: bool = False) -> Sequence[Answer]:
        """Store jobs after the store's commit; answers by place. atomic: all or none.

        An id outside the time window is refused, unless its job exists. Raises StoreUnavailable: the outcome is unknown then,
        and a call with the same drafts is safe.
        """
        jobs: list[NewJob] = []
        policies = self._queues.policies
        for job, changes in drafts:
            if changes is None and not policies:
                jobs.append(job)
            else:
                policy = self._queues.policy(job.queue, changes)
                jobs.append(job if policy is None else job._replace(policy=policy))
        return await self._in_time(jobs, atomic=atomic)

    async def common(self, jobs: Sequence[NewJob], *, atomic: bool = False) -> Sequence[Answer]:
        """Store jobs that set nothing of their policy; as `many`."""
        if self._queues.policies:
            return await self.many([Draft(job, None) for job in jobs], atomic=atomic)
        return await self._in_time(jobs, atomic=atomic)

    async def _in_time(self, jobs: Sequence[NewJob], *, atomic: bool) -> Sequence[Answer]:
        low, high = self._store_time.id_window()
        ids = [job.id for job in jobs]
        with self._under_way.one(len(jobs)):
            if low <= min(ids) and max(ids) <= high:
                return await self._store(jobs, atomic=atomic)
            strange = [place for place, job_id in enumerate(ids) if not low <= job_id <= high]
            return await self._with_strange(jobs, strange, atomic=atomic)

    async def _store(self, jobs: Sequence[NewJob], *, atomic: bool) -> Sequence[Answer]:
        try:
            dispatched = await self._driver.jobs.dispatch(jobs, atomic=atomic)
        except StoreUnavailable:
            # It may have committed, with leases in places that the driver has given back: no caller of `claim` hears of those.
            # A dispatch whose caller has left before it failed is found by the comparison of every 10 s.
            self._errands.doubt.set()
            raise
        return self._answers(jobs, dispatched)

    async def _with_strange(self, jobs: Sequence[NewJob], strange: Sequence[int], *, atomic: bool) -> Sequence[Answer]:
        known = await self._driver.jobs.get([jobs[place].id for place in strange])
        now = self._store_time.now()
        refused: dict[int, JobsError] = {
            place: JobIdTime.at("id", now) for place, record in zip(strange, known, strict=True) if record is None
        }
        if atomic and refused:
            return [refused.get(place) or BatchAborted() for place in range(len(jobs))]
        rest = [place for place in range(len(jobs)) if place not in refused]
        stored = await self._store([jobs[place] for place in rest], atomic=atomic) if rest else ()
        answers: dict[int, Answer] = {**refused, **dict(zip(rest, stored, strict=True))}
        return [answers[place] for place in range(len(jobs))]

    def _answers(self, jobs: Sequence[NewJob], dispatched: Sequence[Dispatched]) -> Sequence[Answer]:
        created = DispatchVerdict.CREATED
        if [answer[0] for answer in dispatched].count(created) == len(dispatched):
            return dispatched
        return [self._answer(job, answer) for job, answer in zip(jobs, dispatched, strict=True)]

    def _answer(self, job: NewJob, answer: Dispatched) -> Answer:
        if answer.verdict is DispatchVerdict.FULL:
            retry = self._queues.settings(job.queue).overflow is Overflow.RETRY
            return QueueFullForNow() if retry else QueueFull()
        if answer.verdict is DispatchVerdict.DUPLICATE and answer.holder is not None:
            return DuplicateJob(answer.holder)
        return _REFUSALS[answer.verdict]() if answer.verdict in _REFUSALS else answer


def job_of(answer: Dispatched, job_id: JobId) -> JobId:
    """Return the job that a dispatch of `job_id` is answered with: another one, where that has its unique key."""
    return answer.holder if answer.verdict is DispatchVerdict.EXISTING and answer.holder is not None else job_id

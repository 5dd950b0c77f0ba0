"""Settle: end attempts as workers say, and store what they tell of running ones."""

from collections.abc import Sequence

from protojobs_service.application.known_queues import KnownQueues
from protojobs_service.application.lease import Leasing
from protojobs_service.application.lease_session import LeaseSession
from protojobs_service.application.store_time import StoreTime
from protojobs_service.application.tally import Tally, answered_of
from protojobs_service.application.wait import Wait
from protojobs_service.domain.errors import NOT_NOW, JobIdTime
from protojobs_service.domain.job import Draft, JobId, NewJob, child_id
from protojobs_service.domain.outcome import COMPLETE, Release, ReleaseCause
from protojobs_service.port import Driver, News, Settled, Settlement, SettleVerdict

_RETRY_LATER = Settled(SettleVerdict.RETRY_LATER, None)


def _unknown_kinds(session: LeaseSession, ended: Sequence[Settlement]) -> set[str]:
    """Return the kinds that the worker has given back because it cannot run them."""
    kinds: set[str] = set()
    for job_id, _, _, outcome, _ in ended:
        if outcome is not COMPLETE and isinstance(outcome, Release) and outcome.cause is ReleaseCause.UNKNOWN_KIND:
            flight = session.flights.get(job_id)
            if flight is not None and flight.kind:
                kinds.add(flight.kind)
    return kinds


class Settle:
    """Takes outcomes and news."""

    def __init__(
        self, driver: Driver, known: KnownQueues, store_time: StoreTime, leasing: Leasing, wait: Wait, tally: Tally
    ) -> None:
        self._driver = driver
        self._known = known
        self._store_time = store_time
        self._leasing = leasing
        self._wait = wait
        self._tally = tally

    async def many(self, session: LeaseSession, items: Sequence[Settlement]) -> Sequence[Settled]:
        """Store outcomes; answers by place, after the commit. RETRY_LATER for all where the store takes none now."""
        session.settling += 1
        try:
            answers = await self._driver.jobs.settle(items)
        except NOT_NOW:
            return [_RETRY_LATER] * len(items)
        finally:
            session.settling -= 1
        alike = bool(answers) and answers.count(answers[0]) == len(answers)
        if not alike:
            self._tally.ended_each(answered_of(session.flights, items, answers))
        again = SettleVerdict.RETRY_LATER
        ended = items
        if any(verdict is again for verdict, *_ in answers):
            ended = [item for item, answer in zip(items, answers, strict=True) if answer.verdict is not again]
        barred = _unknown_kinds(session, ended)
        dropped = session.drop_all(ended)
        if alike:
            self._tally.ended_alike(dropped, answers[0])
        if self._wait.any:
            self._wait.ended(item.id for item in ended)
        self._leasing.settled(session, barred)
        return answers

    async def of_other_replica(self, items: Sequence[Settlement]) -> Sequence[Settled]:
        """Store outcomes of a session that only another replica, or none, remembers; else as `many`."""
        try:
            answers = await self._driver.jobs.settle(items)
        except NOT_NOW:
            return [_RETRY_LATER] * len(items)
        self._tally.ended_elsewhere(answers)
        self._wait.ended(item.id for item, (verdict, *_) in zip(items, answers, strict=True) if verdict is SettleVerdict.OK)
        return answers

    async def update(self, news: Sequence[News]) -> Sequence[bool]:
        """Store progress and checkpoints; False where the lease is not the session's. Raises StoreUnavailable, Overloaded."""
        return await self._driver.jobs.update(news)

    def children(self, parent: JobId, drafts: Sequence[Draft]) -> tuple[NewJob, ...]:
        """Return jobs to store with the completion of `parent`. Raises JobIdTime for an id that is too far off in time."""
        low, high = self._store_time.id_window()
        children: list[NewJob] = []
        for job, changes in drafts:
            if not low <= job.id <= high:
                raise JobIdTime.at("id", self._store_time.now())
            children.append(job._replace(policy=self._known.policy(job.queue, changes), parent=parent))
        return tuple(children)

    def child_id(self, parent: JobId, attempt: int, index: int) -> JobId:
        """Return the id of a child that has none: the store's time, then a hash of (parent, attempt, index)."""
        return child_id(self._store_time.id_prefix(), parent, attempt, index)

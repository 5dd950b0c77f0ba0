"""Jobs of the Kafka driver: those that anybody may take at once are appended to a topic, everything else is the side store's."""

import builtins
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from protojobs_service.domain.errors import Overloaded, StoreUnavailable
from protojobs_service.domain.job import AttemptRecord, Handle, JobId, JobRecord, Lease, NewJob
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.retry import DEFAULT_POLICY
from protojobs_service.drivers.kafka.backlog import Backlog
from protojobs_service.drivers.kafka.intake import Intake
from protojobs_service.drivers.kafka.producer import Appender, Outgoing
from protojobs_service.drivers.kafka.records import pack
from protojobs_service.drivers.kafka.routes import Routes
from protojobs_service.drivers.kafka.search import Search
from protojobs_service.drivers.kafka.topics import Place
from protojobs_service.port import Driver
from protojobs_service.port.jobs import (
    CancelResult,
    Claim,
    Dispatched,
    DispatchVerdict,
    Edit,
    EditResult,
    JobPage,
    Jobs,
    ListQuery,
    News,
    Outline,
    Retake,
    RetakeResult,
    Selection,
    Settled,
    Settlement,
)

_I = TypeVar("_I")
_R = TypeVar("_R")
Prepare = Callable[[set[str]], Awaitable[None]]
"""Makes topics that are missing, or sees to it that they will be there."""
_CREATED = Dispatched(DispatchVerdict.CREATED, State.PENDING)
_CLAIM_S = 0.05
"""How long a claim that is left short waits for what this replica has appended and not moved yet: its workers are idle."""
_SETTLE_S = 2.0
"""How long a call that must see everything waits for the same."""


class KafkaJobs(Jobs):
    """See the port."""

    def __init__(
        self,
        side: Driver,
        routes: Routes,
        appender: Appender,
        backlog: Backlog,
        intake: Intake,
        search: Search,
        prepare: Prepare,
        now: Callable[[], datetime],
        patience_s: float = 0.0,
    ) -> None:
        """Keep jobs in the topics and in `side`."""
        self._side, self._routes, self._appender, self._prepare = side, routes, appender, prepare
        self._now, self._patience_s = now, patience_s
        self._backlog, self._intake, self._search = backlog, intake, search

    async def dispatch(self, jobs: Sequence[NewJob], *, atomic: bool = False) -> Sequence[Dispatched]:
        if not jobs:
            return []
        again = self._routes.have_seen(job.id for job in jobs)
        if atomic and len(jobs) > 1:  # records of several partitions are not one write
            return await self._store(jobs, atomic=True, again=again)
        places = self._routes.choose(jobs)
        direct = [job for job, place in zip(jobs, places, strict=True) if place is None]
        if not direct:
            await self._append(jobs, places)
            return [_CREATED] * len(jobs)
        if len(direct) == len(jobs):
            return await self._store(jobs, again=again)
        # First those that may be refused for all: then nothing of the call may be stored.
        stored = await self._store(direct, again=again)
        try:
            await self._append(jobs, places)
        except Overloaded as error:  # which would say that nothing was stored
            raise StoreUnavailable(error.message) from error
        answers = iter(stored)
        return [next(answers) if place is None else _CREATED for place in places]

    async def claim(self, claims: Sequence[Claim]) -> Sequence[Lease]:
        was_behind = self._is_behind(claims)
        if self._patience_s and was_behind:
            await self._intake.caught_up(self._stems(claims), self._patience_s)
        leases = await self._claim(claims)
        rest = _rest(claims, leases)
        if rest and was_behind:
            await self._intake.caught_up(self._stems(rest), _CLAIM_S)
            leases = [*leases, *await self._claim(rest)]
        return leases

    async def _claim(self, claims: Sequence[Claim]) -> Sequence[Lease]:
        leases = await self._side.jobs.claim(claims)
        self._intake.leased(lease.queue for lease in leases)
        return leases

    async def settle(self, items: Sequence[Settlement]) -> Sequence[Settled]:
        return await self._side.jobs.settle(items)

    async def update(self, items: Sequence[News]) -> Sequence[bool]:
        return await self._side.jobs.update(items)

    async def cancel(self, ids: Sequence[JobId], deadline: timedelta) -> Sequence[CancelResult]:
        return await self._on_all(ids, ids, lambda some: self._side.jobs.cancel(some, deadline), _is_unknown)

    async def retake(self, items: Sequence[Retake]) -> Sequence[RetakeResult]:
        await self._intake.caught_up(None, _SETTLE_S)  # they come after all that wait
        return await self._on_all(items, [item.id for item in items], self._side.jobs.retake, _is_unknown)

    async def edit(self, items: Sequence[Edit]) -> Sequence[EditResult]:
        return await self._on_all(items, [item.id for item in items], self._side.jobs.edit, _is_unknown)

    async def delete(self, ids: Sequence[JobId]) -> Sequence[CancelResult]:
        return await self._on_all(ids, ids, self._side.jobs.delete, _is_unknown)

    async def get(self, ids: Sequence[JobId]) -> Sequence[JobRecord | None]:
        found = await self._moved_or_not(ids, self._side.jobs.get)
        lying = await self._lying(ids, found)
        return [record or _record(lying.get(job_id)) for job_id, record in zip(ids, found, strict=True)]

    async def list(self, query: ListQuery) -> JobPage:
        await self._intake.caught_up(None, _SETTLE_S)
        return await self._side.jobs.list(query)

    async def select(self, query: ListQuery) -> Selection:
        await self._intake.caught_up(None, _SETTLE_S)
        return await self._side.jobs.select(query)

    async def outline(self, ids: Sequence[JobId]) -> Sequence[Outline | None]:
        found = await self._moved_or_not(ids, self._side.jobs.outline)
        lying = await self._lying(ids, found)
        return [outline or _outline(lying.get(job_id)) for job_id, outline in zip(ids, found, strict=True)]

    async def attempts(self, job_id: JobId) -> Sequence[AttemptRecord] | None:
        async def read(ids: Sequence[JobId]) -> Sequence[Sequence[AttemptRecord] | None]:
            return [await self._side.jobs.attempts(each) for each in ids]

        [found] = await self._moved_or_not([job_id], read)
        return [] if found is None and await self._lying([job_id], [found]) else found

    async def promote(self, limit: int) -> int:
        await self._intake.caught_up(None, self._patience_s or _CLAIM_S)  # they come after all that wait
        return await self._side.jobs.promote(limit)

    async def unhold(self, limit: int) -> int:
        return await self._side.jobs.unhold(limit)

    async def expire(self, limit: int) -> int:
        return await self._side.jobs.expire(limit)

    async def prune(self, limit: int) -> int:
        return await self._side.jobs.prune(limit)

    async def _store(self, jobs: Sequence[NewJob], *, again: bool, atomic: bool = False) -> Sequence[Dispatched]:
        """Store jobs in the side store. again: some may lie in a topic; these are moved first, so that the answer is theirs."""
        if again:
            await self._intake.caught_up(None, _SETTLE_S)
        answers = await self._side.jobs.dispatch(jobs, atomic=atomic)
        stored = [job for job, answer in zip(jobs, answers, strict=True) if answer.verdict is DispatchVerdict.CREATED]
        await self._prepare(self._routes.learn(stored))
        return answers

    async def _append(self, jobs: Sequence[NewJob], places: Sequence[Place | None]) -> None:
        accepted_at = self._now()
        parts: dict[Place, list[NewJob]] = defaultdict(list)
        for job, place in zip(jobs, places, strict=True):
            if place is not None:
                parts[place].append(job)
        records = [
            Outgoing(place, packed.value, packed.time_ms)
            for place, part in parts.items()
            for packed in pack(part[0].queue, part, accepted_at)  # a topic is of one queue
        ]
        self._backlog.note_acked(await self._appender.append(records))

    def _is_behind(self, claims: Sequence[Claim]) -> bool:
        return next(self._backlog.behind(self._stems(claims)), None) is not None

    def _stems(self, claims: Sequence[Claim]) -> set[str]:
        return {self._backlog.stem_of(queue) for claim in claims for queue in claim.queues}

    async def _on_all(
        self,
        items: Sequence[_I],
        ids: Sequence[JobId],
        act: Callable[[Sequence[_I]], Awaitable[Sequence[_R]]],
        is_missing: Callable[[_R], bool],
    ) -> builtins.list[_R]:
        """Act on jobs of the side store; on those that it does not know again, once they are moved there."""
        results = list(await act(items))
        for bring in (self._wait, self._move):
            missing = [place for place, result in enumerate(results) if is_missing(result)]
            if missing and await bring([ids[place] for place in missing]):
                again = await act([items[place] for place in missing])
                for place, result in zip(missing, again, strict=True):
                    results[place] = result
        return results

    async def _moved_or_not(
        self, ids: Sequence[JobId], read: Callable[[Sequence[JobId]], Awaitable[Sequence[_R | None]]]
    ) -> builtins.list[_R | None]:
        """Read jobs of the side store; those that it does not know again, once what this replica has appended is moved."""
        results = list(await read(ids))
        missing = [place for place, result in enumerate(results) if result is None]
        if missing and await self._wait([ids[place] for place in missing]):
            again = await read([ids[place] for place in missing])
            for place, result in zip(missing, again, strict=True):
                results[place] = result
        return results

    async def _wait(self, ids: Sequence[JobId]) -> bool:
        """Wait for what this replica has appended; tell whether that may have brought some of these jobs."""
        if not self._routes.have_seen(ids):
            return False
        await self._intake.caught_up(None, _SETTLE_S)
        return True

    async def _move(self, ids: Sequence[JobId]) -> bool:
        """Move jobs that lie in topics, past those before them; tell whether there were any."""
        found = await self._search.find(ids)
        if found:
            await self._side.jobs.dispatch(list(found.values()))
        return bool(found)

    async def _lying(self, ids: Sequence[JobId], found: Sequence[object | None]) -> dict[JobId, NewJob]:
        missing = [job_id for job_id, each in zip(ids, found, strict=True) if each is None]
        return await self._search.find(missing) if missing else {}


def _is_unknown(result: CancelResult | RetakeResult | EditResult) -> bool:
    return not result.found


def _rest(claims: Sequence[Claim], leases: Sequence[Lease]) -> list[Claim]:
    """Return what of the claims is left."""
    taken = Counter(lease.handle for lease in leases)
    sizes: Counter[Handle] = Counter()
    for lease in leases:
        sizes[lease.handle] += len(lease.envelope)
    return [
        claim._replace(limit=claim.limit - taken[claim.handle], max_bytes=claim.max_bytes and claim.max_bytes - sizes[claim.handle])
        for claim in claims
        if taken[claim.handle] < claim.limit and not 0 < claim.max_bytes <= sizes[claim.handle]
    ]


def _record(job: NewJob | None) -> JobRecord | None:
    if job is None or job.accepted_at is None:
        return None
    return JobRecord(
        id=job.id,
        queue=job.queue,
        kind=job.kind,
        priority=job.priority,
        envelope=job.envelope,
        state=State.PENDING,
        attempt=0,
        failures=0,
        crashes=0,
        policy=job.policy or DEFAULT_POLICY,
        created_at=job.accepted_at,
    )


def _outline(job: NewJob | None) -> Outline | None:
    if job is None or job.accepted_at is None:
        return None
    return Outline(job.id, job.queue, job.priority, State.PENDING, 0, job.accepted_at, len(job.envelope))

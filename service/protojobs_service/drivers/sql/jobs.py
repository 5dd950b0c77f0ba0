"""Jobs of the SQL driver: the three hot ways through their pipelines, everything else as one cold transaction."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection

from protojobs_service.domain.job import AttemptRecord, JobId, JobRecord, Lease, NewJob
from protojobs_service.drivers.sql.claiming import ClaimCall
from protojobs_service.drivers.sql.cold.base import Cold, micros, span
from protojobs_service.drivers.sql.cold.cancel import cancel
from protojobs_service.drivers.sql.cold.delete import delete_jobs
from protojobs_service.drivers.sql.cold.due import expire, promote
from protojobs_service.drivers.sql.cold.keys import forget_windows
from protojobs_service.drivers.sql.cold.listing import Filter, find
from protojobs_service.drivers.sql.cold.news import update_attempts
from protojobs_service.drivers.sql.cold.prune import prune
from protojobs_service.drivers.sql.cold.records import attempts_of, records
from protojobs_service.drivers.sql.cold.retake import retake
from protojobs_service.drivers.sql.dispatching import DispatchCall
from protojobs_service.drivers.sql.lanes import Lanes
from protojobs_service.drivers.sql.pipelines import Pipeline
from protojobs_service.drivers.sql.ready import Ready
from protojobs_service.drivers.sql.settling import SettleCall
from protojobs_service.drivers.sql.store import Store
from protojobs_service.port.jobs import (
    CancelResult,
    Claim,
    Dispatched,
    Jobs,
    ListQuery,
    News,
    Retake,
    RetakeResult,
    Settled,
    Settlement,
)

_PRUNE_STEPS = 50


class SqlJobs(Jobs):
    """See the port. `cold.writer` is that of the operations that no pipeline runs."""

    def __init__(
        self,
        store: Store,
        cold: Cold,
        lanes: Lanes,
        ready: Ready,
        *,
        dispatch: Pipeline[DispatchCall, Sequence[Dispatched]],
        claim: Pipeline[ClaimCall, Sequence[Lease]],
        settle: Pipeline[SettleCall, Sequence[Settled]],
    ) -> None:
        """Use the pipelines of the driver."""
        self._store, self._cold, self._lanes, self._ready = store, cold, lanes, ready
        self._dispatch, self._claim, self._settle = dispatch, claim, settle
        self._pruned_to: bytes | None = None

    async def dispatch(self, jobs: Sequence[NewJob], *, atomic: bool = False) -> Sequence[Dispatched]:
        return await self._dispatch.run(DispatchCall(jobs, atomic)) if jobs else []

    async def claim(self, claims: Sequence[Claim]) -> Sequence[Lease]:
        return await self._claim.run(claims) if claims else []

    async def settle(self, items: Sequence[Settlement]) -> Sequence[Settled]:
        if not items:
            return []
        settled = await self._settle.run(items)
        self._ready.turned()
        return settled

    async def update(self, items: Sequence[News]) -> Sequence[bool]:
        return await self._store.run(lambda c: update_attempts(c, self._cold, items)) if items else []

    async def cancel(self, ids: Sequence[JobId], deadline: timedelta) -> Sequence[CancelResult]:
        return await self._store.run(lambda c: cancel(c, self._cold, ids, span(deadline))) if ids else []

    async def retake(self, items: Sequence[Retake]) -> Sequence[RetakeResult]:
        if not items:
            return []
        with self._ready.positions.flight(len(items)) as base:
            results, arrivals = await self._store.run(lambda c: retake(c, self._cold, items, base))
        self._ready.add(arrivals, len(items))
        return results

    async def delete(self, ids: Sequence[JobId]) -> Sequence[CancelResult]:
        return await self._store.run(lambda c: delete_jobs(c, self._cold, ids)) if ids else []

    async def get(self, ids: Sequence[JobId]) -> Sequence[JobRecord | None]:
        found = await self._store.run(lambda c: records(c, self._cold, ids), write=False) if ids else {}
        return [found.get(job_id) for job_id in ids]

    async def list(self, query: ListQuery) -> Sequence[JobRecord]:
        wanted = Filter(
            lanes=await self._lanes_of(query),
            states=query.states or None,
            labels=query.labels,
            created_from=None if query.created_after is None else micros(query.created_after),
            created_to=None if query.created_before is None else micros(query.created_before),
            after=query.after,
            newest_first=query.newest_first,
            limit=query.limit,
        )

        def read(c: Connection) -> Sequence[JobRecord]:
            ids = find(c, self._cold, wanted)
            found = records(c, self._cold, ids)
            return [found[job_id] for job_id in ids]

        return await self._store.run(read, write=False)

    async def _lanes_of(self, query: ListQuery) -> Collection[int] | None:
        if not query.queues and not query.kinds:
            return None
        await self._lanes.reload()
        return self._lanes.matching(query.queues, query.kinds)

    async def attempts(self, job_id: JobId) -> Sequence[AttemptRecord] | None:
        return await self._store.run(lambda c: attempts_of(c, self._cold, job_id), write=False)

    async def promote(self, limit: int) -> int:
        with self._ready.positions.flight(limit) as base:
            promoted, arrivals = await self._store.run(lambda c: promote(c, self._cold, limit, base), vital=True)
        self._ready.add(arrivals, promoted)
        return promoted

    async def expire(self, limit: int) -> int:
        return await self._store.run(lambda c: expire(c, self._cold, limit), vital=True)

    async def prune(self, limit: int) -> int:
        await self._forget_windows(limit)
        await self._lanes.reload()
        retention = self._lanes.retention()
        jobs = 0
        for _ in range(_PRUNE_STEPS):
            step = partial(prune, cold=self._cold, after=self._pruned_to, limit=limit, most=limit - jobs, retention=retention)
            pruned = await self._store.run(step)
            self._pruned_to = pruned.after
            jobs += pruned.jobs
            if jobs >= limit or pruned.after is None:
                break
        return jobs

    async def _forget_windows(self, limit: int) -> None:
        for _ in range(_PRUNE_STEPS):
            if await self._store.run(lambda c: forget_windows(c, self._cold, limit)) < limit:
                break

"""Jobs of the SQL driver: the three hot ways through their pipelines, everything else as one cold transaction."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection

from protojobs_service.domain.job import AttemptRecord, JobId, JobRecord, Lease, NewJob
from protojobs_service.domain.lots import fitting
from protojobs_service.drivers.sql.claiming import ClaimCall
from protojobs_service.drivers.sql.cold.base import Cold, micros, span
from protojobs_service.drivers.sql.cold.cancel import cancel
from protojobs_service.drivers.sql.cold.delete import delete_jobs
from protojobs_service.drivers.sql.cold.dispatch import LaneIds
from protojobs_service.drivers.sql.cold.due import expire, is_overdue, promote
from protojobs_service.drivers.sql.cold.edit import KeysHeld, edit
from protojobs_service.drivers.sql.cold.keys import forget_windows
from protojobs_service.drivers.sql.cold.listing import Wanted, find_part
from protojobs_service.drivers.sql.cold.news import update_attempts
from protojobs_service.drivers.sql.cold.outlines import outlines
from protojobs_service.drivers.sql.cold.places import Key, find_room, has_keys, unhold
from protojobs_service.drivers.sql.cold.prune import prune
from protojobs_service.drivers.sql.cold.records import attempts_of, brief_records, records
from protojobs_service.drivers.sql.cold.retake import retake
from protojobs_service.drivers.sql.cold.sizes import sizes
from protojobs_service.drivers.sql.cold.standing import standing
from protojobs_service.drivers.sql.cold.trim import drop_results
from protojobs_service.drivers.sql.dispatching import DispatchCall
from protojobs_service.drivers.sql.lanes import Lanes
from protojobs_service.drivers.sql.lookout import Lookout
from protojobs_service.drivers.sql.pipelines import Pipeline
from protojobs_service.drivers.sql.ready import Ready
from protojobs_service.drivers.sql.roads import Roads
from protojobs_service.drivers.sql.settling import SettleCall
from protojobs_service.drivers.sql.store import Store
from protojobs_service.port.jobs import (
    Brief,
    CancelResult,
    Claim,
    Dispatched,
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

_PRUNE_STEPS = 50
_FIRST_LOOK, _LONGEST_LOOK = 1000, 100_000
"""Jobs that one statement of a list looks at: few first, because mostly that fills the page. After the longest look it ends."""


class SqlJobs(Jobs):
    """See the port. `cold.writer` is that of the operations that no pipeline runs."""

    def __init__(
        self,
        store: Store,
        cold: Cold,
        lanes: Lanes,
        ready: Ready,
        lookout: Lookout,
        *,
        dispatch: Roads,
        claim: Pipeline[ClaimCall, Sequence[Lease]],
        settle: Pipeline[SettleCall, Sequence[Settled]],
    ) -> None:
        """Use the pipelines of the driver."""
        self._store, self._cold, self._lanes, self._ready, self._lookout = store, cold, lanes, ready, lookout
        self._dispatch, self._claim, self._settle = dispatch, claim, settle
        self._pruned_to: bytes | None = None
        self._dropped_to: bytes | None = None
        self._unheld_to: Key | None = None
        self._key_limits: dict[str, int] = {}
        self._is_hurried = False

    async def dispatch(self, jobs: Sequence[NewJob], *, atomic: bool = False) -> Sequence[Dispatched]:
        return await self._dispatch.run(DispatchCall.of(jobs, atomic)) if jobs else []

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
            results, arrivals = await self._store.run(lambda c: retake(c, self._cold, items, base, self._ready.follow_ups))
        self._ready.add(arrivals, len(items))
        return results

    async def edit(self, items: Sequence[Edit]) -> Sequence[EditResult]:
        if not items:
            return []
        lanes = await self._lanes_to_move_to(items)
        refused: dict[JobId, EditResult] = {}
        while True:
            try:
                done = iter(await self._edit([item for item in items if item.id not in refused], lanes))
            except KeysHeld as held:
                refused |= {JobId(job_id): EditResult(True, None, holder) for job_id, holder in held.holders.items()}
            else:
                return [refused[item.id] if item.id in refused else next(done) for item in items]

    async def _edit(self, items: Sequence[Edit], lanes: LaneIds) -> Sequence[EditResult]:
        with self._ready.positions.flight(len(items)) as base:
            results, arrivals = await self._store.run(lambda c: edit(c, self._cold, items, lanes, base))
        self._ready.add(arrivals, len(items))
        return results

    async def _lanes_to_move_to(self, items: Sequence[Edit]) -> LaneIds:
        moved = {item.id: item.queue for item in items if item.queue is not None}
        if not moved:
            return {}
        stands = await self._store.run(lambda c: standing(c, self._cold, moved), write=False)
        pairs = {(queue, stands[job_id].kind) for job_id, queue in moved.items() if job_id in stands}
        await self._lanes.resolve(pairs)
        return {pair: self._lanes.ids[pair] for pair in pairs}

    async def delete(self, ids: Sequence[JobId]) -> Sequence[CancelResult]:
        return await self._store.run(lambda c: delete_jobs(c, self._cold, ids)) if ids else []

    async def get(self, ids: Sequence[JobId]) -> Sequence[JobRecord | None]:
        found = await self._store.run(lambda c: records(c, self._cold, ids), write=False) if ids else {}
        return [found.get(job_id) for job_id in ids]

    async def list(self, query: ListQuery) -> JobPage:
        wanted, look = await self._wanted(query), _FIRST_LOOK
        jobs: list[JobRecord] = []
        left = query.max_bytes
        while True:
            step = replace(wanted, limit=query.limit - len(jobs))
            read = partial(_read, cold=self._cold, wanted=step, look=look, left=left, first=not jobs, brief=query.brief)
            part = await self._store.run(read, write=False)
            jobs += part.jobs
            left -= part.size
            if part.after is None or part.is_cut or len(jobs) >= query.limit or look == _LONGEST_LOOK:
                return JobPage(jobs, None if part.after is None else JobId(part.after))
            wanted, look = replace(wanted, after=part.after), min(10 * look, _LONGEST_LOOK)

    async def select(self, query: ListQuery) -> Selection:
        wanted = await self._wanted(query)

        def read(c: Connection) -> Selection:
            ids, after = find_part(c, self._cold, wanted, _LONGEST_LOOK)
            found = outlines(c, self._cold, ids)
            return Selection([found[job_id] for job_id in ids], None if after is None else JobId(after))

        return await self._store.run(read, write=False)

    async def outline(self, ids: Sequence[JobId]) -> Sequence[Outline | None]:
        found = await self._store.run(lambda c: outlines(c, self._cold, ids), write=False) if ids else {}
        return [found.get(job_id) for job_id in ids]

    async def _wanted(self, query: ListQuery) -> Wanted:
        where, states = query.where, query.where.states
        if query.states:
            states = frozenset(query.states) if states is None else states & frozenset(query.states)
        labels = [(key, [value]) for key, value in (query.labels or {}).items()]
        return Wanted(
            lanes=await self._lanes_of(query),
            states=states,
            labels=[*labels, *((term.key, term.values) for term in where.labels)],
            parents=_parents(query),
            created_from=_latest(query.created_after, where.created_from),
            created_to=_earliest(query.created_before, where.created_to),
            after=query.after,
            newest_first=query.newest_first,
            limit=query.limit,
        )

    async def _lanes_of(self, query: ListQuery) -> Collection[int] | None:
        if not (query.queues or query.kinds or query.where.names_lanes):
            return None
        await self._lanes.reload()
        return self._lanes.matching(query.queues, query.kinds, query.where)

    async def attempts(self, job_id: JobId) -> Sequence[AttemptRecord] | None:
        return await self._store.run(lambda c: attempts_of(c, self._cold, job_id), write=False)

    async def promote(self, limit: int) -> int:
        if not (await self._lookout.look()).due:
            return 0
        with self._ready.positions.flight(limit) as base:
            promoted, arrivals = await self._store.run(lambda c: promote(c, self._cold, limit, base), vital=True)
        self._ready.add(arrivals, promoted)
        return promoted

    async def unhold(self, limit: int) -> int:
        if self._key_limits != self._lanes.key_limits:
            self._key_limits, self._unheld_to, self._is_hurried = self._lanes.key_limits, None, True
        if not await self._store.ask(lambda c: has_keys(c, self._cold)):
            return 0
        found = await self._store.run(lambda c: find_room(c, self._cold, self._unheld_to, limit), write=False)
        if found.keys:
            arrivals = await self._store.run(lambda c: unhold(c, self._cold, found.keys))
            self._ready.add(arrivals, len(arrivals))
        self._unheld_to, self._is_hurried = found.after, self._is_hurried and found.after is not None
        return limit if self._is_hurried else len(found.keys)

    async def expire(self, limit: int) -> int:
        if not await self._store.ask(lambda c: is_overdue(c, self._cold), vital=True):
            return 0
        return await self._store.run(lambda c: expire(c, self._cold, limit), vital=True)

    async def prune(self, limit: int) -> int:
        await self._forget_windows(limit)
        await self._lanes.reload()
        retention, history = self._lanes.retention(), self._lanes.history()
        jobs = await self._drop_results(limit)
        for _ in range(_PRUNE_STEPS if jobs < limit else 0):
            pruned = await self._store.run(
                partial(
                    prune,
                    cold=self._cold,
                    after=self._pruned_to,
                    limit=limit,
                    most=limit - jobs,
                    retention=retention,
                    history=history,
                )
            )
            self._pruned_to = pruned.after
            jobs += pruned.jobs
            if jobs >= limit or pruned.after is None:
                break
        return jobs

    async def _drop_results(self, limit: int) -> int:
        """Drop results whose own retention is over; returns how many, not many more than `limit`."""
        dropped = 0
        for _ in range(_PRUNE_STEPS):
            step = partial(drop_results, cold=self._cold, after=self._dropped_to, limit=limit - dropped)
            part = await self._store.run(step)
            self._dropped_to = part.after
            dropped += part.results
            if dropped >= limit or part.after is None:
                break
        return dropped

    async def _forget_windows(self, limit: int) -> None:
        for _ in range(_PRUNE_STEPS):
            if await self._store.run(lambda c: forget_windows(c, self._cold, limit)) < limit:
                break


class _Read(NamedTuple):
    """Jobs of a page, their bytes, and where to go on. is_cut: the next one is too much for the page."""

    jobs: Sequence[JobRecord]
    size: int
    after: bytes | None
    is_cut: bool


def _read(c: Connection, cold: Cold, wanted: Wanted, look: int, left: int, *, first: bool, brief: Brief | None) -> _Read:
    ids, after = find_part(c, cold, wanted, look)
    of_each = sizes(c, cold, ids, brief=brief is not None)
    count = max(fitting(of_each, left), 1 if first else 0)
    is_cut = count < len(ids)
    if is_cut:
        ids = ids[:count]
        after = ids[-1] if ids else wanted.after
    found = records(c, cold, ids) if brief is None else brief_records(c, cold, ids, of_each[:count], brief)
    return _Read([found[job_id] for job_id in ids], sum(of_each[:count]), after, is_cut)


def _parents(query: ListQuery) -> Collection[JobId] | None:
    parents = query.where.parents
    if query.parent is None:
        return parents
    return {query.parent} if parents is None else parents & {query.parent}


def _latest(*times: datetime | None) -> int | None:
    return max((micros(at) for at in times if at is not None), default=None)


def _earliest(*times: datetime | None) -> int | None:
    return min((micros(at) for at in times if at is not None), default=None)

"""The claim pipeline: the wishes of many sessions become groups of probes, and one statement leases for all of them."""

import logging
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from protojobs_service.domain.errors import JobsError
from protojobs_service.domain.job import Handle, Lease, make_tuple
from protojobs_service.domain.retry import Policy
from protojobs_service.drivers.sql.aging import NOBODY, Waits, aged, read_waits
from protojobs_service.drivers.sql.cold.base import Cold
from protojobs_service.drivers.sql.cold.claim import checkpoints, expire_claimed
from protojobs_service.drivers.sql.cold.handles import open_handles
from protojobs_service.drivers.sql.lanes import Lanes
from protojobs_service.drivers.sql.limiting import Limiting, parts_of
from protojobs_service.drivers.sql.pipelines import Weight
from protojobs_service.drivers.sql.positions import FRONT_SHIFT
from protojobs_service.drivers.sql.ready import Ready
from protojobs_service.drivers.sql.store import Claimed, ClaimGroup, Probe, Store
from protojobs_service.drivers.sql.tables import HAS_CHECKPOINT, HAS_DEADLINE, SUSPECT
from protojobs_service.port.jobs import Claim

_log = logging.getLogger(__name__)

_LARGEST_ENVELOPE = 4 * 1024 * 1024
_RELOAD_S = 0.01
_OPEN_S = 1.0

ClaimCall = Sequence[Claim]


class _Group(NamedTuple):
    """Claims that may take from the same lanes in the same order, within about the same number of bytes."""

    lanes: frozenset[int]
    claims: list[Claim]
    probes: list[Probe]

    def ask(self) -> ClaimGroup:
        """Return it as the store wants it. The smallest byte budget holds for all, so that nobody gets more than its own."""
        places = list(chain.from_iterable([claim.handle] * claim.limit for claim in self.claims))
        budgets = [claim.max_bytes for claim in self.claims if claim.max_bytes]
        return ClaimGroup(self.probes, places, min(budgets, default=0))


def weigh(call: ClaimCall) -> Weight:
    """Return what a call adds to a flush."""
    return Weight(sum(claim.limit for claim in call), 0)


class Claiming:
    """The flush of the claim pipeline."""

    def __init__(self, store: Store, cold: Cold, lanes: Lanes, ready: Ready) -> None:
        """Use `ready` for marks and backlog. `cold.writer` is the pipeline's own."""
        self._store, self._cold, self._lanes, self._ready = store, cold, lanes, ready
        self._limiting = Limiting(store, cold, lanes, ready)
        self._reloaded = 0.0

    async def flush(self, calls: Sequence[ClaimCall]) -> list[Sequence[Lease] | Exception]:
        """Lease for all calls; what is not plain about a job is looked up before anybody gets it.

        Raises only where nothing was leased: what is committed is handed out, whatever fails afterwards.
        """
        claims = [claim for call in calls for claim in call]
        self._ready.marks.look_again()
        rows = await self._claim(claims)
        if not rows and time.monotonic() - self._reloaded > _RELOAD_S:
            # Nothing that this replica knows of: another one may have stored something, in a lane that is new.
            await self._lanes.reload()
            self._reloaded = time.monotonic()
            rows = await self._claim(claims)
        leases, overdue = await self._leases(rows)
        while overdue:  # their places are free again
            try:
                again = await self._claim(_rest(claims, leases))
            except JobsError as error:
                if not leases:
                    raise
                _failed("claim", error)
                break
            more, overdue = await self._leases(again)
            leases += more
        if leases:
            self._ready.witness.flushed("claim", len(leases))
        return _by_call(calls, leases)

    async def _claim(self, claims: Sequence[Claim]) -> list[Claimed]:
        limited = self._lanes.limited
        if not limited or all(limited.isdisjoint(claim.queues) for claim in claims):
            return await self._claim_open(claims)
        return await self._claim_parts(claims, limited)

    async def _claim_parts(self, claims: Sequence[Claim], limited: frozenset[str]) -> list[Claimed]:
        """Lease part by part of each claim's queues: as long as they have no limit, or as long as they all have one."""
        rows: list[Claimed] = []
        cut = [parts_of(claim.queues, limited) for claim in claims]
        for turn in range(max(map(len, cut))):
            wanted = [
                claim._replace(queues=parts[turn])
                for claim, parts in zip(_left(claims, rows), cut, strict=True)
                if claim is not None and turn < len(parts)
            ]
            try:
                rows += await self._claim_open([claim for claim in wanted if claim.queues[0] not in limited])
                rows += await self._limiting.claim([claim for claim in wanted if claim.queues[0] in limited])
            except JobsError as error:
                if not rows:
                    raise
                _failed("claim", error)
                break
        return rows

    async def _claim_open(self, claims: Sequence[Claim]) -> list[Claimed]:
        rows: list[Claimed] = []
        waits = NOBODY
        if self._lanes.aging:
            queues = {queue for claim in claims for queue in claim.queues}
            waits = await read_waits(self._store, self._cold, self._lanes, self._ready.marks, queues)
        for wave in _waves(self._groups(claims, waits)):
            asked = [group.ask() for group in wave]
            tick, safe = self._ready.marks.begin(), self._ready.positions.safe()
            try:
                got = await self._store.claim(asked, self._cold.slot)
            except JobsError as error:
                if not rows:
                    raise
                _failed("claim", error)
                break
            for group, ask in zip(wave, asked, strict=True):
                mine = got if len(wave) == 1 else [row for row in got if row.lane in group.lanes]
                drained = _is_drained(ask, mine) and await self._are_open(ask.places)
                self._ready.marks.claimed(ask.probes, mine, tick=tick, safe=safe, drained=drained)
                self._ready.took(len(mine), drained=drained)
                rows += mine
        return rows

    async def _are_open(self, handles: Sequence[int]) -> bool:
        """Tell whether all these handles are open: a closed one gets nothing, which says nothing about its lanes."""
        known, now = self._ready.open_handles, time.monotonic()
        asked = {handle for handle in handles if now - known.get(handle, 0.0) > _OPEN_S}
        if asked:
            try:
                found = await self._store.run(lambda c: open_handles(c, self._cold, asked), write=False)
            except JobsError as error:
                _failed("open handles", error)
                return False
            known.update(dict.fromkeys(found, now))
            return len(found) == len(asked)
        return True

    def _groups(self, claims: Sequence[Claim], waits: Waits) -> list[_Group]:
        alike: dict[object, list[Claim]] = {}
        for claim in claims:
            key = (claim.queues, claim.kinds, claim.barred, claim.max_bytes.bit_length())
            alike.setdefault(key, []).append(claim)
        groups: list[_Group] = []
        for same in alike.values():
            queues = self._lanes.of_claim(same[0])
            marks, aging = self._ready.marks, self._lanes.aging
            probes = [probe for lanes in queues for probe in aged(marks.probes(lanes), aging, waits)]
            if probes:
                groups.append(_Group(frozenset(chain.from_iterable(queues)), same, probes))
        return groups

    async def _leases(self, rows: Sequence[Claimed]) -> tuple[list[Lease], int]:
        """Return the leases of claimed rows, and how many rows were over time and have ended instead."""
        overdue = await self._overdue([row for row in rows if row.flags & HAS_DEADLINE])
        marked = [row.id for row in rows if row.flags & HAS_CHECKPOINT and row.id not in overdue]
        saved = await self._saved(marked)
        # Without its checkpoint a job would begin anew: it is left out, and the comparison of leases gives it back.
        kept_back = set[bytes]() if saved is not None else set(marked)
        left_out = overdue | kept_back
        names = {lane: self._lanes.name(lane) for lane in {row.lane for row in rows}}
        checkpoint = (saved or {}).get
        # By place, and without the constructor: half the price, which every claimed job pays.
        self._ready.leased(len(rows), lambda place: self._wait(rows[place], names))
        leases: list[Lease] = []
        for handle, job_id, attempt, lane, _, _, failures, flags, text, envelope in rows:
            if job_id not in left_out:
                policy = None if text is None else _policy(text)
                suspect = flags & SUSPECT != 0
                fields = (handle, job_id, attempt, *names[lane], envelope, failures, policy, checkpoint(job_id), suspect)
                leases.append(make_tuple(Lease, fields))
        return leases, len(overdue)

    def _wait(self, row: Claimed, names: Mapping[int, tuple[str, str]]) -> tuple[str, float] | None:
        """Return the queue of a row, and how long it had been claimable; places in fair lanes are no times."""
        if row.lane in self._ready.marks.fair:
            return None
        since = row.position if row.position >= 0 else row.position + FRONT_SHIFT
        return names[row.lane][0], max(0, self._ready.positions.now() - since) / 1e6

    async def _overdue(self, dated: Sequence[Claimed]) -> set[bytes]:
        if not dated:
            return set()
        try:
            overdue, arrivals = await self._store.run(lambda c: expire_claimed(c, self._cold, dated))
        except JobsError as error:  # a job that is late is better than one that nobody has
            _failed("expire", error)
            return set()
        self._ready.add(arrivals, len(arrivals))
        return overdue

    async def _saved(self, marked: Sequence[bytes]) -> dict[bytes, bytes] | None:
        if not marked:
            return {}
        try:
            return await self._store.run(lambda c: checkpoints(c, self._cold, marked), write=False)
        except JobsError as error:
            _failed("checkpoints", error)
            return None


def _failed(step: str, error: JobsError) -> None:
    _log.warning("step of a claim failed", extra={"step": step, "reason": error.reason})


@lru_cache(maxsize=1024)
def _policy(text: str) -> Policy:
    return Policy.load(text)


def _is_drained(ask: ClaimGroup, rows: Sequence[Claimed]) -> bool:
    """Tell whether a claim ended because nothing was left, not because places or bytes were used up."""
    bytes_left = ask.max_bytes - sum(len(row.envelope) for row in rows)
    return not rows or (len(rows) < len(ask.places) and (not ask.max_bytes or bytes_left > _LARGEST_ENVELOPE))


def _waves(groups: Sequence[_Group]) -> list[list[_Group]]:
    """Return the groups so that no lane comes twice in one statement: a row that a statement locked is not skipped by itself."""
    waves: list[tuple[set[int], list[_Group]]] = []
    for group in groups:
        for lanes, wave in waves:
            if lanes.isdisjoint(group.lanes):
                lanes |= group.lanes
                wave.append(group)
                break
        else:
            waves.append((set(group.lanes), [group]))
    return [wave for _, wave in waves]


def _rest(claims: Sequence[Claim], leased: Sequence[Lease | Claimed]) -> list[Claim]:
    """Return what claims still want."""
    return [claim for claim in _left(claims, leased) if claim is not None]


def _left(claims: Sequence[Claim], leased: Sequence[Lease | Claimed]) -> list[Claim | None]:
    """Return what is left of each claim, by place; the byte budget of one that has got something is not spent to the last byte."""
    got: dict[int, list[int]] = {}
    for lease in leased:
        got.setdefault(lease.handle, []).append(len(lease.envelope))
    rest: list[Claim | None] = []
    for claim in claims:
        sizes = got.get(claim.handle, [])
        taken, sizes[: claim.limit] = sizes[: claim.limit], []
        left = claim.max_bytes - sum(taken) if claim.max_bytes else 0
        if len(taken) < claim.limit and (not claim.max_bytes or left > 0 or not taken):
            rest.append(claim._replace(limit=claim.limit - len(taken), max_bytes=left))
        else:
            rest.append(None)
    return rest


def _by_call(calls: Sequence[ClaimCall], leases: Sequence[Lease]) -> list[Sequence[Lease] | Exception]:
    """Give each call the leases of its handles; where two calls name one handle, the first is filled first."""
    if len(calls) == 1:
        return [leases]
    by_handle: dict[Handle, list[Lease]] = {}
    for lease in leases:
        by_handle.setdefault(lease.handle, []).append(lease)
    results: list[Sequence[Lease] | Exception] = []
    for call in calls:
        mine: list[Lease] = []
        for claim in call:
            waiting = by_handle.get(claim.handle, [])
            mine += waiting[: claim.limit]
            del waiting[: claim.limit]
        results.append(mine)
    return results

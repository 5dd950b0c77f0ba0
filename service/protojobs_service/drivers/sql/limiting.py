"""Claims from queues with limits: which of them are worth a transaction, and what the marks learn from it."""

from collections.abc import Sequence
from itertools import chain, groupby, zip_longest

from protojobs_service.drivers.sql.aging import NOBODY, Waits, aged, read_waits
from protojobs_service.drivers.sql.cold.base import Cold
from protojobs_service.drivers.sql.cold.limited import LimitedGroup, claim_limited
from protojobs_service.drivers.sql.lanes import Lanes
from protojobs_service.drivers.sql.ready import Ready
from protojobs_service.drivers.sql.store import Claimed, Probe, Store
from protojobs_service.port.jobs import Claim


def parts_of(queues: Sequence[str], limited: frozenset[str]) -> list[tuple[str, ...]]:
    """Cut queues, in their order, into parts that have limits and parts that have none."""
    return [tuple(part) for _, part in groupby(queues, key=limited.__contains__)]


class Limiting:
    """The part of the claim pipeline for queues whose leases are counted."""

    def __init__(self, store: Store, cold: Cold, lanes: Lanes, ready: Ready) -> None:
        """Use what `Claiming` uses."""
        self._store, self._cold, self._lanes, self._ready = store, cold, lanes, ready
        self._turn = 0

    async def claim(self, claims: Sequence[Claim]) -> list[Claimed]:
        """Lease for claims that name only queues with limits. Raises StoreUnavailable: the outcome is unknown then.

        A queue of which nothing is known to wait is not asked: the counters tell of its jobs within 250 ms, whoever stored them.
        """
        waits = NOBODY
        if self._lanes.aging:
            queues = {queue for claim in claims for queue in claim.queues}
            waits = await read_waits(self._store, self._cold, self._lanes, self._ready.marks, queues)
        groups = self._groups(claims, waits)
        if not groups:
            return []
        tick, safe = self._ready.marks.begin(), self._ready.positions.safe()
        granted = await self._store.run(lambda c: claim_limited(c, self._cold, groups), vital=True)
        rows: list[Claimed] = []
        for found in granted.found:
            self._ready.marks.claimed(found.probes, found.rows, tick=tick, safe=safe, drained=found.drained)
            rows += found.rows
        self._ready.took(len(rows), drained=False)
        if granted.holds:
            self._ready.room.held_back(granted.holds)
        return rows

    def _groups(self, claims: Sequence[Claim], waits: Waits) -> list[LimitedGroup]:
        alike: dict[object, list[Claim]] = {}
        for claim in claims:
            alike.setdefault((claim.queues, claim.kinds, claim.barred, claim.max_bytes.bit_length()), []).append(claim)
        groups: list[LimitedGroup] = []
        for same in alike.values():
            queues = dict.fromkeys(same[0].queues)
            probes = [
                (queue, found)
                for queue, lanes in zip(queues, self._lanes.of_claim(same[0]), strict=True)
                if (found := self._probes(lanes, waits))
            ]
            if probes:
                budgets = [claim.max_bytes for claim in same if claim.max_bytes]
                groups.append(LimitedGroup(probes, self._places(same), min(budgets, default=0)))
        self._turn += 1
        start = self._turn % len(groups) if groups else 0
        return groups[start:] + groups[:start]

    def _probes(self, lanes: Sequence[int], waits: Waits) -> list[Probe]:
        marks = self._ready.marks
        return aged(marks.probes(lanes), self._lanes.aging, waits) if any(marks.knows(lane) for lane in lanes) else []

    def _places(self, claims: Sequence[Claim]) -> list[int]:
        """Return a place of each claim in turn: what little a limit lets go is shared by the sessions."""
        start = self._turn % len(claims)
        turns = [[claim.handle] * claim.limit for claim in [*claims[start:], *claims[:start]]]
        return [handle for handle in chain.from_iterable(zip_longest(*turns)) if handle is not None]

"""The lanes as this replica knows them: (queue, kind) to a small number, read again four times a second."""

import asyncio
from collections.abc import Collection, Iterable, Sequence

from protojobs_service.domain.errors import QuotaExceeded
from protojobs_service.domain.filter import Filter
from protojobs_service.domain.queue import History, Retention
from protojobs_service.drivers.sql.cold.base import Cold, span
from protojobs_service.drivers.sql.cold.lanes import Registry, add_lanes, glance, read_registry
from protojobs_service.drivers.sql.cold.settings import load
from protojobs_service.drivers.sql.marks import Marks
from protojobs_service.drivers.sql.positions import Positions
from protojobs_service.drivers.sql.store import Store
from protojobs_service.port.jobs import Claim

Pair = tuple[str, str]
"""(queue, kind)."""
_NOTHING = "{}"


class Lanes:
    """The lane registry. Lanes are only ever added, so what is known stays true; queues come and go."""

    def __init__(self, store: Store, cold: Cold, positions: Positions, marks: Marks, *, max_queues: int, max_lanes: int) -> None:
        """Start knowing nothing: `reload` first."""
        self._store, self._cold = store, cold
        self._positions, self._marks = positions, marks
        self._caps = {"max_queues": max_queues, "max_lanes": max_lanes}
        self._names: list[Pair | None] = [None]
        self._turn = 0
        self._version = -1
        self._one_at_a_time = asyncio.Lock()
        self.ids: dict[Pair, int] = {}
        """Lanes whose queue exists."""
        self.strict: frozenset[int] = frozenset()
        """Lanes of queues with strict leases."""
        self.limited: frozenset[str] = frozenset()
        """Queues whose leases are counted."""
        self.deep: frozenset[str] = frozenset()
        """Queues with a max_depth."""
        self.aging: dict[int, int] = {}
        """Lanes of queues in which waiting raises priority, and after how many microseconds by one."""
        self.pending: frozenset[int] = frozenset()
        """Lanes that had pending jobs when last read, anybody's."""
        self.news: set[int] = set()
        """Lanes found to have jobs that this replica did not know of; whoever tells the workers empties it."""
        self._all: dict[str, dict[str, int]] = {}
        self._queues: dict[str, str] = {}
        self.key_limits: dict[str, int] = {}
        """What queues say of their concurrency keys; those that say nothing are left out."""

    async def reload(self) -> None:
        """Read non-empty lanes and the store's clock; and lanes and settings if anybody has changed them."""
        async with self._one_at_a_time:  # an older snapshot must not overwrite a newer one
            found = await self._store.ask(lambda c: glance(c, self._cold))
            if self._positions.measure(found.now):
                self._marks.forget()
            known = len(self._names) - 1
            if (found.version, found.newest) != (self._version, known):
                self._learn(await self._store.run(lambda c: read_registry(c, self._cold, known), write=False))
            self.pending = frozenset(found.pending)
        self.news |= {lane for lane in found.pending if not self._marks.knows(lane)}
        self._marks.counted(found.pending)
        orphans = {pair for lane in found.pending if (pair := self.name(lane)) not in self.ids}
        if orphans:  # another replica stored jobs while the queue was being deleted
            await self.add(orphans)

    async def add(self, pairs: Iterable[Pair]) -> None:
        """Make lanes. Raises QuotaExceeded."""
        wanted = frozenset(pairs)
        await self._store.run(lambda c: add_lanes(c, self._cold, wanted, **self._caps))
        await self.reload()

    async def resolve(self, pairs: Iterable[Pair]) -> None:
        """Make sure that these lanes exist; afterwards they are in `ids`. Raises QuotaExceeded."""
        missing = {pair for pair in pairs if pair not in self.ids}
        if missing:
            await self.add(missing)

    async def make(self, pairs: Iterable[Pair]) -> set[Pair]:
        """Make these lanes, each for itself; return those that there is no room for."""
        full: set[Pair] = set()
        for pair in sorted(set(pairs) - self.ids.keys()):
            try:
                await self.resolve([pair])
            except QuotaExceeded:
                full.add(pair)
        return full

    def name(self, lane: int) -> Pair:
        """Return queue and kind of a lane."""
        pair = self._names[lane] if lane < len(self._names) else None
        return pair or ("", "")

    def of_claim(self, claim: Claim) -> list[list[int]]:
        """Return the lanes that a claim may take from, by queue; kinds take turns at the front."""
        self._turn += 1
        return [self._turned(self._served(queue, claim)) for queue in dict.fromkeys(claim.queues)]

    def of_queue(self, queue: str) -> Sequence[int]:
        """Return all lanes of a queue."""
        return list(self._all.get(queue, {}).values())

    def matching(self, queues: Collection[str], kinds: Collection[str], where: Filter) -> list[int]:
        """Return the lanes of these queues and kinds (empty means any) that `where` admits."""
        return [
            lane
            for queue, lanes in self._all.items()
            for kind, lane in lanes.items()
            if (not queues or queue in queues) and (not kinds or kind in kinds) and where.admits(queue, kind)
        ]

    def retention(self) -> dict[int, Retention]:
        """Return how long finished jobs are kept, by lane."""
        kept = {queue: load(queue, settings).retention for queue, settings in self._queues.items()}
        return {lane: kept[queue] for (queue, _), lane in self.ids.items()}

    def history(self) -> dict[int, History]:
        """Return what is remembered of attempts, by lane, where that is not all."""
        set_up = [load(queue, settings) for queue, settings in self._queues.items() if settings != _NOTHING]
        kept = {queue.name: queue.history for queue in set_up if queue.history is not History.ALL}
        return {lane: kept[queue] for (queue, _), lane in self.ids.items() if queue in kept}

    def _served(self, queue: str, claim: Claim) -> list[int]:
        kinds = self._all.get(queue, {})
        if claim.kinds is None:
            return [lane for kind, lane in kinds.items() if kind not in claim.barred]
        return [kinds[kind] for kind in claim.kinds if kind in kinds and kind not in claim.barred]

    def _turned(self, lanes: list[int]) -> list[int]:
        if len(lanes) < 2:
            return lanes
        at = self._turn % len(lanes)
        return lanes[at:] + lanes[:at]

    def _learn(self, registry: Registry) -> None:
        for lane, queue, kind in registry.lanes:
            self._names += [None] * (lane + 1 - len(self._names))
            self._names[lane] = (queue, kind)
            self._all.setdefault(queue, {})[kind] = lane
        self._version = registry.version
        if not registry.lanes and registry.queues == self._queues:
            return
        self._queues = registry.queues
        self.ids = {(queue, kind): lane for queue in registry.queues for kind, lane in self._all.get(queue, {}).items()}
        set_up = [load(queue, text) for queue, text in registry.queues.items() if text != _NOTHING]
        self.strict = frozenset(lane for queue in set_up if queue.strict_leases for lane in self.of_queue(queue.name))
        self.limited = frozenset(queue.name for queue in set_up if queue.limits_leases)
        self.deep = frozenset(queue.name for queue in set_up if queue.max_depth)
        self.key_limits = {queue.name: queue.per_key_limit for queue in set_up if queue.per_key_limit != 1}
        self._cold.replica.fair = self._marks.fair = frozenset(
            lane for queue in set_up if queue.fairness.enabled for lane in self.of_queue(queue.name)
        )
        self.aging = {lane: span(queue.aging) for queue in set_up if queue.aging is not None for lane in self.of_queue(queue.name)}

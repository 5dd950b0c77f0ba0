"""Counting what waits in the side store: other replicas move jobs there too, and lease them."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Final

from protojobs_service.drivers.kafka.backlog import Backlog
from protojobs_service.port import Driver
from protojobs_service.port.queues import QueueNumbers

_EVERY_S: Final = 0.1
"""How long at least between the end of one count and the next."""
_SHARE: Final = 0.1
"""The share of the time that counting may take, where so much waits that it takes long."""
_AFTER_FAILURE_S: Final = 1.0


class _Pace:
    """Says when something may be done again, by how long it took."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._due_at = clock, 0.0

    @property
    def is_due(self) -> bool:
        return self._clock() >= self._due_at

    @contextmanager
    def timed(self) -> Generator[None]:
        began, rest_s = self._clock(), _AFTER_FAILURE_S
        try:
            yield
            rest_s = max(_EVERY_S, (self._clock() - began) / _SHARE)
        finally:
            self._due_at = self._clock() + rest_s


class Census:
    """Knows by stem how many jobs wait in the side store that somebody could take. Belongs to the event loop."""

    def __init__(self, side: Driver, backlog: Backlog, *, lookahead: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Count in `side`, into the backlog. lookahead: how many jobs of a queue the lowest band may have there."""
        self._side, self._backlog, self._lookahead = side, backlog, lookahead
        self._pace, self._free_pace = _Pace(clock), _Pace(clock)
        self._leased: Counter[str] = Counter()
        """What was leased since the count that is under way began."""

    @property
    def is_due(self) -> bool:
        """Tell whether it may be counted again."""
        return self._pace.is_due

    def leased(self, queues: Iterable[str]) -> None:
        """Note that jobs of these queues no longer wait, one each time it is named."""
        stems = Counter(map(self._backlog.stem_of, queues))
        self._leased.update(stems)
        self._backlog.waiting.subtract(stems)

    async def take(self) -> None:
        """Count. Raises what the side store raises; it is due again later either way.

        Jobs of kinds that no worker of the queue takes are left out, and those that wait for a place of their key; they would keep
        back the ones behind them for ever. A job that is leased meanwhile may be counted out twice, which the next count mends: too
        many are moved then, where the other mistake would keep jobs back.
        """
        self._leased.clear()
        with self._pace.timed():
            numbers, _ = await self._side.queues.stats(None)
        waiting = {self._backlog.stem_of(each.queue): _takeable(each, _pending(each)) for each in numbers}
        ours = {partition.stem for partition in self._backlog.partitions.values()}
        if holding := {each.queue: each for each in numbers if each.holds and self._backlog.stem_of(each.queue) in ours}:
            waiting |= await self._count_free(holding)
        self._backlog.waiting = Counter(waiting)
        self._backlog.waiting.subtract(self._leased)

    async def _count_free(self, holding: Mapping[str, QueueNumbers]) -> dict[str, int]:
        """Return of queues with jobs that are held for a key how many others wait; what is known, where counting takes long."""
        stems = {queue: self._backlog.stem_of(queue) for queue in holding}
        if not self._free_pace.is_due:
            return {stem: self._backlog.waiting[stem] + self._leased[stem] for stem in stems.values()}
        most = self._lookahead * max((partition.rank for partition in self._backlog.partitions.values()), default=1)
        with self._free_pace.timed():
            free = await self._side.queues.claimable(holding, most)
        return {stems[queue]: _takeable(each, free.get(queue, {})) for queue, each in holding.items()}


def _pending(numbers: QueueNumbers) -> Mapping[str, int]:
    return {kind: count for kind, (count, _) in numbers.pending_by_kind.items()}


def _takeable(numbers: QueueNumbers, waiting: Mapping[str, int]) -> int:
    """Return how many of what waits, by kind, are of kinds that workers take: of all, where one takes all or nobody listens."""
    served = numbers.served_kinds or waiting.keys()
    return sum(count for kind, count in waiting.items() if kind in served)

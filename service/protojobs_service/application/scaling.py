"""How much there is to do for some workers: what whoever starts and stops them goes by."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from protojobs_service.application.queues import QueueStats
from protojobs_service.application.recent_stats import Look, RecentStats
from protojobs_service.domain.access import matches
from protojobs_service.domain.lifecycle import State

_WILD = frozenset("*?")


@dataclass(frozen=True, slots=True)
class Share:
    """The jobs that some workers take. queues, kinds: names or globs (`access.matches`); no kinds: all. states: which count."""

    queues: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    states: frozenset[State] = frozenset({State.PENDING, State.RUNNING})


class Work(NamedTuple):
    """How many jobs of a share wait for a worker, and how many run."""

    waiting: int
    running: int


class Scaling:
    """Tells the work of shares, from numbers that all who ask have in common."""

    def __init__(self, recent: RecentStats) -> None:
        self._recent = recent
        self._look: Look | None = None
        self._by_name: Mapping[str, QueueStats] = {}
        self._known: dict[Share, Work] = {}

    async def work(self, share: Share) -> Work:
        """Return the work of a share as it was within the last second; a queue that does not exist has none.

        Raises what `RecentStats.look` raises.
        """
        look = await self._recent.look()
        if look is not self._look:
            self._look, self._known = look, {}
            self._by_name = {stats.numbers.queue: stats for stats in look.stats}
        if share not in self._known:
            self._known[share] = _sum(_work(stats, share) for stats in self._queues_of(share))
        return self._known[share]

    def _queues_of(self, share: Share) -> Sequence[QueueStats]:
        if _WILD.isdisjoint("".join(share.queues)):
            return [self._by_name[name] for name in dict.fromkeys(share.queues) if name in self._by_name]
        return [stats for name, stats in self._by_name.items() if _is_among(name, share.queues)]


def _work(stats: QueueStats, share: Share) -> Work:
    numbers = stats.numbers
    waiting = numbers.counts.get(State.PENDING, 0)
    running = numbers.counts.get(State.RUNNING, 0)
    if share.kinds:
        pending = numbers.pending_by_kind
        # What is of no known kind yet, as in the topics of Kafka, may be of any.
        waiting -= sum(n for kind, (n, _) in pending.items() if not _is_among(kind, share.kinds))
        running = sum(n for kind, n in numbers.running_by_kind.items() if _is_among(kind, share.kinds))
    # Nobody may lease from a paused queue, however many workers there are.
    counts_waiting = State.PENDING in share.states and not stats.paused
    return Work(max(waiting, 0) if counts_waiting else 0, running if State.RUNNING in share.states else 0)


def _sum(works: Iterable[Work]) -> Work:
    waiting = running = 0
    for work in works:
        waiting += work.waiting
        running += work.running
    return Work(waiting, running)


def _is_among(name: str, patterns: Collection[str]) -> bool:
    return any(matches(pattern, name) for pattern in patterns)

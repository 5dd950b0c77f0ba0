"""How much there is to do for some workers: what whoever starts and stops them goes by."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeAlias

from protojobs_service.application.queues import QueueStats
from protojobs_service.application.recent import Recent
from protojobs_service.domain.access import matches
from protojobs_service.domain.lifecycle import State

SOON: Final = timedelta(seconds=30)
"""What falls due within it counts as SCHEDULED: a worker takes about as long to start."""
MOST_SOON: Final = 10_000
COUNTED: Final = frozenset({State.PENDING, State.RUNNING})
"""What counts where nothing else is said."""

StatsLook: TypeAlias = tuple[Sequence[QueueStats], datetime]
"""Numbers of every queue, and the time of their snapshot."""
SoonLook: TypeAlias = Mapping[str, Mapping[str, int]]
"""By queue and kind, how many jobs fall due soon."""

_WILD = frozenset("*?")
_NONE: SoonLook = {}


@dataclass(frozen=True, slots=True)
class Share:
    """The jobs that some workers take. queues, kinds: names or globs (`access.matches`); no kinds: all.

    states: which count; SCHEDULED stands for those that wait, for their time or a retry, and fall due within `SOON`.
    """

    queues: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    states: frozenset[State] = COUNTED


class Work(NamedTuple):
    """How many jobs of a share wait for a worker, and how many run."""

    waiting: int
    running: int


class _Weighed(NamedTuple):
    stats: StatsLook
    soon: SoonLook
    work: Work


class Scaling:
    """Tells the work of shares, from numbers that all who ask have in common."""

    def __init__(self, stats: Recent[StatsLook], soon: Recent[SoonLook]) -> None:
        self._stats = stats
        self._soon = soon
        self._look: StatsLook | None = None
        self._by_name: Mapping[str, QueueStats] = {}
        self._weighed: dict[Share, _Weighed] = {}

    async def work(self, share: Share) -> Work:
        """Return the work of a share as it was within the last second; a queue that does not exist has none.

        Raises what `Recent.look` raises.
        """
        stats = await self._stats.look()
        soon = await self._soon.look() if State.SCHEDULED in share.states else _NONE
        if stats is not self._look:
            self._look, self._weighed = stats, {}
            self._by_name = {each.numbers.queue: each for each in stats[0]}
        known = self._weighed.get(share)
        if known is None or known.soon is not soon:
            work = _sum(_work(each, share, soon.get(each.numbers.queue, {})) for each in self._queues_of(share))
            known = self._weighed[share] = _Weighed(stats, soon, work)
        return known.work

    def _queues_of(self, share: Share) -> Sequence[QueueStats]:
        if _WILD.isdisjoint("".join(share.queues)):
            return [self._by_name[name] for name in dict.fromkeys(share.queues) if name in self._by_name]
        return [stats for name, stats in self._by_name.items() if _is_among(name, share.queues)]


def _work(stats: QueueStats, share: Share, soon: Mapping[str, int]) -> Work:
    numbers = stats.numbers
    waiting = numbers.counts.get(State.PENDING, 0)
    running = numbers.counts.get(State.RUNNING, 0)
    if share.kinds:
        # What is of no known kind yet, as in the topics of Kafka, may be of any.
        others = sum(n for kind, (n, _) in numbers.pending_by_kind.items() if not _is_among(kind, share.kinds))
        waiting = max(waiting - others, 0)
        running = sum(n for kind, n in numbers.running_by_kind.items() if _is_among(kind, share.kinds))
    if State.PENDING not in share.states:
        waiting = 0
    waiting += sum(n for kind, n in soon.items() if not share.kinds or _is_among(kind, share.kinds))
    # Nobody may lease from a paused queue, however many workers there are.
    return Work(0 if stats.paused else waiting, running if State.RUNNING in share.states else 0)


def _sum(works: Iterable[Work]) -> Work:
    waiting = running = 0
    for work in works:
        waiting += work.waiting
        running += work.running
    return Work(waiting, running)


def _is_among(name: str, patterns: Collection[str]) -> bool:
    return any(matches(pattern, name) for pattern in patterns)

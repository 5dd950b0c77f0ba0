"""The log of what ended: read in the order of commits, from any place that is still kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from protojobs_service.domain.event import JobEvent
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import State
from protojobs_service.port.jobs import Brief

Position = Mapping[int, int]
"""By slot, the number of the last flush that was read; 0 for a slot that is not named."""

Running = Mapping[tuple[JobId, int], datetime | None]
"""Running attempts as (id, attempt), with the time of their last progress."""


class LogEnd(NamedTuple):
    """Which log this is (another store has another name), and where it ends now."""

    name: str
    position: Position


class Flush(NamedTuple):
    """What one transaction has ended. events: with their places in it, those that were wanted; size: how many it holds."""

    slot: int
    seq: int
    size: int
    events: Sequence[tuple[int, JobEvent]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """What to read: flushes behind `after`, up to `until` where given, no new one once `limit` events are read.

    wanted: (queue, kind) -> whether events of these are to be looked up; the others are skipped. states: those that led to one of
    these alone, where any is named; flushes without any may be left out. live: queues of which running attempts are to be told too,
    but for those of `known` without new progress. brief: of each envelope only this is kept, and no stacks.
    """

    after: Position
    until: Position | None = None
    limit: int = 500
    wanted: Callable[[str, str], bool]
    states: frozenset[State] = frozenset()
    live: frozenset[str] = frozenset()
    known: Running = field(default_factory=dict[tuple[JobId, int], datetime | None])
    brief: Brief | None = None


class LogPage(NamedTuple):
    """Flushes slot by slot, those of one slot in the order of their commits, and where to go on.

    complete: nothing more was there. live: starts and progress from the same snapshot, so an attempt is there or in a flush,
    never in both.
    """

    flushes: Sequence[Flush]
    position: Position
    complete: bool
    live: Sequence[JobEvent]


class Events(Protocol):
    """The log of one store. Whoever ends an attempt writes it in the same transaction.

    Each writer numbers its flushes in the order of their commits, without gaps: whoever has read number n of a slot will find
    everything that comes later behind it. All raise StoreUnavailable.
    """

    async def end(self) -> LogEnd:
        """Return the name of the log and its present end."""
        ...

    async def read(self, query: LogQuery) -> LogPage:
        """Return a page of the log in one snapshot.

        Raises CursorExpired where something behind `after` is not kept any more, InvalidField (cursor) where `after` lies beyond
        the end: it is not of this store.
        """
        ...

    async def forget(self, older_than: timedelta, limit: int) -> int:
        """Drop at most `limit` flushes that are older, the oldest first; returns how many."""
        ...

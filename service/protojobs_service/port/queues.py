"""Queues: settings, numbers, clearing."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.queue import QueueSettings


class SettingsBook(NamedTuple):
    """Settings of every queue that was ever used or set up, at one version."""

    version: int
    queues: Mapping[str, QueueSettings]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueNumbers:
    """Numbers of one queue, from counters. Rates per second; run times over the last 5 minutes."""

    queue: str
    counts: Mapping[State, int]
    oldest_pending_at: datetime | None = None
    completed_1m: float = 0.0
    completed_5m: float = 0.0
    failed_1m: float = 0.0
    failed_5m: float = 0.0
    average_run_time: timedelta | None = None
    p95_run_time: timedelta | None = None
    workers: int = 0
    pending_by_kind: Mapping[str, tuple[int, datetime | None]] = field(default_factory=dict[str, tuple[int, datetime | None]])
    """PENDING jobs per kind with the creation of the oldest."""
    running_by_kind: Mapping[str, int] = field(default_factory=dict[str, int])
    """RUNNING jobs per kind."""
    served_kinds: frozenset[str] | None = frozenset()
    """Kinds that live sessions of the queue name; None: some session takes all."""
    rate_spent: bool = False
    """The bucket of its rate limit has no whole token."""
    holds: bool = False
    """Some of its jobs wait for a place of their concurrency key."""
    approximate: bool = False
    """`counts` are an estimate at the moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearQuery:
    """Which jobs of a queue to delete; never RUNNING. before None: now. after: where the last call stopped."""

    queue: str
    states: frozenset[State]
    before: datetime | None = None
    dry_run: bool = False
    after: JobId | None = None
    limit: int = 5000


class Cleared(NamedTuple):
    """How many were (or would be) deleted; `after` goes on, None when done; barrier is the `before` that was used."""

    deleted: int
    after: JobId | None
    barrier: datetime


class Queues(Protocol):
    """Queues of one store. All raise StoreUnavailable and are safe to repeat."""

    async def settings(self, known_version: int) -> SettingsBook | None:
        """Return every queue's settings, or None while `known_version` is the newest; notes what this replica knows."""
        ...

    async def change(self, queue: str, change: Callable[[QueueSettings], QueueSettings]) -> QueueSettings:
        """Replace a queue's settings by `change(old)`, making the queue if it is new, under a new version."""
        ...

    async def acknowledged(self, version: int) -> bool:
        """Tell whether every live replica knows `version` (it called `settings` since)."""
        ...

    async def delete(self, queue: str, *, force: bool) -> None:
        """Remove a queue and its settings. Raises QueueNotFound, QueueNotEmpty (jobs of any state, without force), JobRunning."""
        ...

    async def clear(self, query: ClearQuery) -> Cleared:
        """Delete jobs of a queue, at most `limit`, as DeleteJob does."""
        ...

    async def stats(self, queue: str | None) -> tuple[Sequence[QueueNumbers], datetime]:
        """Return numbers by queue name in one snapshot, and its time."""
        ...

    async def due_soon(self, within: timedelta, limit: int) -> Mapping[str, Mapping[str, int]]:
        """Return by queue and kind how many SCHEDULED and RETRYING jobs fall due within a span; of the first `limit` of them."""
        ...

    async def claimable(self, queues: Collection[str], most: int) -> Mapping[str, Mapping[str, int]]:
        """Return how many PENDING jobs of these queues wait for no place of their concurrency key, by queue and kind.

        Counted, and no further than to `most` of a kind; queues and kinds that have none are left out.
        """
        ...

    async def reconcile(self) -> int:
        """Recount states in one snapshot and mend counters that differ; returns how many did. One replica at a time."""
        ...

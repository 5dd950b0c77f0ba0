"""Queues: settings, pausing, clearing and numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from protojobs_service.application.clock import Clock
from protojobs_service.application.known_queues import KnownQueues
from protojobs_service.application.lease_room import LeaseRoom
from protojobs_service.application.timings import Timings
from protojobs_service.domain.errors import QueueNotFound
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.queue import QueueSettings
from protojobs_service.port import Cleared, ClearQuery, Driver, QueueNumbers

_ACKNOWLEDGEMENT_POLL = 0.025


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """Numbers of one queue, with what only this replica knows.

    open_window: jobs that the sessions connected here could take now. unserved: pending jobs per kind that no live session names.
    by_rate, by_concurrency: jobs wait, and this limit is used up.
    """

    numbers: QueueNumbers
    paused: bool
    open_window: int
    unserved: Mapping[str, tuple[int, datetime | None]]
    by_rate: bool
    by_concurrency: bool


class Queues:
    """Acts on queues."""

    def __init__(self, driver: Driver, known: KnownQueues, room: LeaseRoom, clock: Clock, timings: Timings) -> None:
        self._driver = driver
        self._known = known
        self._room = room
        self._clock = clock
        self._timings = timings

    async def list(self) -> Sequence[QueueSettings]:
        """Return every queue by name. Raises StoreUnavailable."""
        await self._known.refresh()
        return [settings for _, settings in sorted(self._known.all.items())]

    async def get(self, queue: str) -> QueueSettings:
        """Return one queue. Raises QueueNotFound, StoreUnavailable."""
        await self._known.refresh()
        if queue not in self._known.all:
            raise QueueNotFound
        return self._known.settings(queue)

    async def update(self, queue: str, change: Callable[[QueueSettings], QueueSettings]) -> QueueSettings:
        """Replace a queue's settings by `change(old)`, making the queue if it is new. Raises StoreUnavailable.

        Where the limits of its leases change, it returns when every replica knows, or after a second.
        """
        before = self._known.settings(queue)
        changed = await self._driver.queues.change(queue, change)
        await self._known.refresh()
        if (before.rate_limit, before.max_in_flight) != (changed.rate_limit, changed.max_in_flight):
            await self._known_everywhere()
        return changed

    async def pause(self, queue: str) -> None:
        """Stop leasing from a queue, made if new; returns when every replica knows, or after a second. Raises StoreUnavailable."""
        await self.update(queue, lambda settings: replace(settings, paused=True))
        await self._known_everywhere()

    async def _known_everywhere(self) -> None:
        """Return when every replica knows the settings that this one knows, or after a second. Raises StoreUnavailable."""
        version = self._known.version
        until = self._clock.monotonic() + self._timings.pause_acknowledgement
        while not await self._driver.queues.acknowledged(version) and self._clock.monotonic() < until:
            await self._clock.sleep(_ACKNOWLEDGEMENT_POLL)

    async def resume(self, queue: str) -> None:
        """Lease from a queue again. Raises StoreUnavailable."""
        await self.update(queue, lambda settings: replace(settings, paused=False))

    async def clear(self, query: ClearQuery) -> Cleared:
        """Delete jobs of a queue in one bounded step. Raises QueueNotFound, StoreUnavailable."""
        await self.get(query.queue)
        return await self._driver.queues.clear(query)

    async def delete(self, queue: str, *, force: bool = False) -> None:
        """Remove a queue. Raises QueueNotFound, QueueNotEmpty, JobRunning, StoreUnavailable."""
        await self._driver.queues.delete(queue, force=force)
        await self._known.refresh()

    async def stats(self, queue: str | None = None) -> tuple[Sequence[QueueStats], datetime]:
        """Return numbers by queue name from one snapshot, and its time. Raises QueueNotFound, StoreUnavailable."""
        if queue is not None:
            await self.get(queue)
        numbers, at = await self._driver.queues.stats(queue)
        windows = self._room.open_windows()
        return [self._with_local(each, windows.get(each.queue, 0)) for each in numbers], at

    def _with_local(self, numbers: QueueNumbers, open_window: int) -> QueueStats:
        served = numbers.served_kinds
        unserved = {} if served is None else {kind: n for kind, n in numbers.pending_by_kind.items() if kind not in served and n[0]}
        most, waits = self._known.settings(numbers.queue).max_in_flight, numbers.counts.get(State.PENDING, 0) > 0
        return QueueStats(
            numbers=numbers,
            paused=numbers.queue in self._known.paused,
            open_window=open_window,
            unserved=unserved,
            by_rate=waits and numbers.rate_spent,
            by_concurrency=waits and 0 < most <= numbers.counts.get(State.RUNNING, 0),
        )

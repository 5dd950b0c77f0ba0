"""The numbers of all queues, read from the store at most once a second for all who look."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from protojobs_service.application.clock import Clock
from protojobs_service.application.queues import Queues, QueueStats
from protojobs_service.domain.errors import JobsError, StoreUnavailable
from protojobs_service.port.deadline import deadline_in

LIFETIME = 1.0
"""s for which a look is good."""
_PATIENCE = 5.0
"""s: who reads metrics gives up after 10 by default, and would lose every other number too (Prometheus, scrape_timeout)."""


class Look(NamedTuple):
    """Numbers of every queue by name, and the store's time of their snapshot."""

    stats: Sequence[QueueStats]
    at: datetime


class RecentStats:
    """Keeps the last look, be it numbers or why there are none. patience: s that the store has for one."""

    def __init__(self, queues: Queues, clock: Clock, *, patience: float = _PATIENCE) -> None:
        self._queues = queues
        self._clock = clock
        self._patience = patience
        self._look: Look | JobsError | None = None
        self._looked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def look(self) -> Look:
        """Return numbers that are at most a second old. Raises what the store raises, StoreUnavailable where it takes too long."""
        async with self._lock:
            if self._look is None or self._clock.monotonic() - self._looked_at >= LIFETIME:
                self._look = await self._read()
                self._looked_at = self._clock.monotonic()
            if isinstance(self._look, JobsError):
                raise self._look
            return self._look

    async def _read(self) -> Look | JobsError:
        try:
            with deadline_in(self._patience):
                async with asyncio.timeout(self._patience):
                    return Look(*await self._queues.stats())
        except TimeoutError:
            return StoreUnavailable("the numbers of the queues do not come in time")
        except JobsError as error:
            return error

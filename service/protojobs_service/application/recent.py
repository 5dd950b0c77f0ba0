"""What is read from the store at most once a second, for all who look at it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from protojobs_service.application.clock import Clock
from protojobs_service.domain.errors import JobsError, StoreUnavailable
from protojobs_service.port.deadline import deadline_in

LIFETIME = 1.0
"""s for which a look is good."""
_PATIENCE = 5.0
"""s: who reads metrics gives up after 10 by default, and would lose every other number too (Prometheus, scrape_timeout)."""

T = TypeVar("T")


class Recent(Generic[T]):
    """Keeps what was read last, or why nothing was. patience: s that the store has for it."""

    def __init__(self, read: Callable[[], Awaitable[T]], clock: Clock, *, patience: float = _PATIENCE) -> None:
        self._read = read
        self._clock = clock
        self._patience = patience
        self._found: tuple[T] | JobsError = StoreUnavailable()
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def look(self) -> T:
        """Return what was read within the last second; the same object until it is read anew.

        Raises what reading raises, StoreUnavailable where it takes too long.
        """
        async with self._lock:
            if self._clock.monotonic() - self._read_at >= LIFETIME:
                self._found = await self._try()
                self._read_at = self._clock.monotonic()
            if isinstance(self._found, JobsError):
                raise self._found
            return self._found[0]

    async def _try(self) -> tuple[T] | JobsError:
        try:
            with deadline_in(self._patience):
                async with asyncio.timeout(self._patience):
                    return (await self._read(),)
        except TimeoutError:
            return StoreUnavailable("the numbers of the queues do not come in time")
        except JobsError as error:
            return error

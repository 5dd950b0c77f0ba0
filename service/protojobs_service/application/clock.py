"""The clock that use cases wait by; injected, so that tests own time."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock of this process. Never the store's time: see `store_time`."""

    def monotonic(self) -> float:
        """Return seconds since some fixed point."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Return True once `event` is set, or False after `seconds` (None: never)."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    def monotonic(self) -> float:
        """Return seconds since some fixed point."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Return True once `event` is set, or False after `seconds` (None: never)."""
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return event.is_set()
        return True

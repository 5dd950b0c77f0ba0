"""Who was answered together comes again together: a small flush waits a moment for its callers, instead of one after the other.

MariaDB bounds its group commit alike, by a time and by a number (binlog_commit_wait_usec, binlog_commit_wait_count).
"""

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

ENOUGH: Final = 250
"""Rows and KiB of which a flush waits for no more: what it costs beside them is less than they do then."""
LONGEST_S: Final = 0.01
_FLUSHES: Final = 2.0
"""No longer than so many flushes as the last one: where a commit takes 1 ms, nobody waits for 10 ms."""
SOON_S: Final = 0.1
"""Who was answered longer ago than this is not about to come again."""


class Linger:
    """Tells a pipeline how long to wait for more calls before its next flush.

    Until as many wait as the last flush has answered callers, until they are `ENOUGH`, or until a time is over. Nobody waits where
    it has answered one, or ended more than `SOON_S` ago. Belongs to the event loop.
    """

    def __init__(self, longest_s: float = LONGEST_S, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin as if nobody had been answered. longest_s: of a wait, 0 for none. clock: seconds, to measure flushes by."""
        self._bound_s = longest_s
        self._clock = clock
        self._answered = 0
        self._ended = float("-inf")
        self._longest_s = 0.0
        self._missing = self._lacking = 0
        self._complete = asyncio.Event()

    @contextmanager
    def flush(self, callers: int) -> Generator[None]:
        """Note how long a flush takes that answers so many callers."""
        began = self._clock()
        try:
            yield
        finally:
            self._answered, self._ended = callers, self._clock()
            self._longest_s = min(self._bound_s, _FLUSHES * (self._ended - began))

    def came(self, cost: int) -> None:
        """Note that a call came."""
        self._missing -= 1
        self._lacking -= cost
        if self._missing <= 0 or self._lacking <= 0:
            self._complete.set()

    async def wait(self, calls: int, cost: int) -> None:
        """Wait for those that are missing beside so many calls that wait already."""
        self._missing, self._lacking = self._answered - calls, ENOUGH - cost
        if self._missing <= 0 or self._lacking <= 0 or self._longest_s <= 0 or self._clock() - self._ended > SOON_S:
            return
        self._complete.clear()
        try:
            async with asyncio.timeout(self._longest_s):
                await self._complete.wait()
        except TimeoutError:
            return

    def stop(self) -> None:
        """Let nobody wait any more."""
        self._longest_s = self._bound_s = 0.0
        self._complete.set()

"""Where jobs stand in `ready`: microseconds of the store's clock, growing within a replica.

Jobs that come back take positions from a second range that lies below all arrivals and grows as well, so they are served first.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import count

FRONT_SHIFT = 1 << 60
"""Positions below 0 are of the front range: the clock less this."""
LAG_US = 2_000_000
"""How far low-water marks stay behind: what other replicas have in flight, and how far clocks of replicas may differ."""
_STEP_US = 1_000_000


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1000


class Positions:
    """Gives out positions, and knows below which nothing can arrive any more. Belongs to the event loop."""

    def __init__(self, clock: Callable[[], int] = _monotonic_us) -> None:
        """Start at 0: `measure` first."""
        self._clock = clock
        self._offset = 0
        self._last = 0
        self._last_front = -FRONT_SHIFT
        self._open: dict[int, int] = {}
        self._keys = count()

    def measure(self, store_us: int) -> bool:
        """Take the store's clock as it was just read; tells whether it has made a step (marks are void then)."""
        offset = store_us - self._clock()
        stepped = abs(offset - self._offset) > _STEP_US
        self._offset = offset
        return stepped

    def now(self) -> int:
        """Return the store's clock, as measured."""
        return self._clock() + self._offset

    @contextmanager
    def flight(self, n: int) -> Generator[int]:
        """Give out `n` positions, returned as the first of them; marks stay below them until the block ends."""
        base = max(self._last + 1, self.now())
        self._last = base + n
        key = next(self._keys)
        self._open[key] = base
        try:
            yield base
        finally:
            del self._open[key]

    def front(self, n: int) -> int:
        """Give out `n` positions before all arrivals."""
        base = max(self._last_front + 1, self.now() - FRONT_SHIFT)
        self._last_front = base + n
        return base

    def safe(self) -> int:
        """Return a position below which no arrival is in flight, here or (by LAG_US) on another replica."""
        return min(self.now() - LAG_US, min(self._open.values(), default=self.now()) - 1)

"""Waiting for something to be true, or for its time."""

import time
from collections.abc import Callable, Iterator


def until(what: str, probe: Callable[[], bool], *, within: float, every: float = 0.025) -> float:
    """Ask until the answer is true; return when that was, by the monotonic clock. Raises TimeoutError."""
    end = time.monotonic() + within
    while not probe():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {within:g} s in vain until {what}")
        time.sleep(every)
    return time.monotonic()


def moments(seconds: float, slices: int) -> Iterator[float]:
    """Yield now, and the end of each of so many slices of a time when it has come, by the monotonic clock."""
    began = time.monotonic()
    for number in range(slices + 1):
        time.sleep(max(0.0, began + number * seconds / slices - time.monotonic()))
        yield time.monotonic()

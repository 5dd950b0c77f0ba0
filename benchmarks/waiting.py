"""Waiting for something to be true."""

import time
from collections.abc import Callable


def until(what: str, probe: Callable[[], bool], *, within: float, every: float = 0.025) -> float:
    """Ask until the answer is true; return when that was, by the monotonic clock. Raises TimeoutError."""
    end = time.monotonic() + within
    while not probe():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {within:g} s in vain until {what}")
        time.sleep(every)
    return time.monotonic()

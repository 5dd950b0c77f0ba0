"""Ends what runs within a timeout before its time."""

import asyncio
from collections.abc import Callable


def ending(limit: asyncio.Timeout, seconds: float = 0.0) -> Callable[[], None]:
    """Return what lets a timeout that is entered expire after so many seconds; safe to repeat while what it has ended lingers."""

    def end() -> None:
        if not limit.expired():
            limit.reschedule(asyncio.get_running_loop().time() + seconds)

    return end

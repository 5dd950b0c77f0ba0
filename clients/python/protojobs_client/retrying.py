"""Repeats what failed for a moment.

Not with `stamina.retry`: its hooks are global, and by default they print every retry of ours into the application's
output. Ours are told at debug level to this module's logger.
"""

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import stamina

from protojobs_client.errors import ProtoJobsError

_log = logging.getLogger(__name__)

T = TypeVar("T")


async def retrying(call: Callable[[], Awaitable[T]], *, patience: timedelta | None = None) -> T:
    """Call until it succeeds, fails for good, or another try would begin after `patience`: then its last error is raised.

    stamina's switches hold here too: after `set_active(False)` or `set_testing(True)` there is one try.
    """
    clock = asyncio.get_running_loop().time
    end = math.inf if patience is None else clock() + patience.total_seconds()
    backoff = Backoff()
    while True:
        try:
            return await call()
        except ProtoJobsError as error:
            wait = backoff.after(error)
            if wait is None or clock() + wait >= end or stamina.is_testing() or not stamina.is_active():
                raise
            _log.debug("trying again", extra={"reason": error.reason, "in_s": round(wait, 2)})
        await asyncio.sleep(wait)


class Backoff:
    """Decides whether and when an error is retried: when the server says, else with full jitter up to 2 s."""

    def __init__(self, initial: float = 0.1, longest: float = 2.0) -> None:
        self._ceiling = initial
        self._longest = longest

    def after(self, error: ProtoJobsError) -> float | None:
        """Return the wait in seconds; None: no retry can help."""
        if not error.retryable:
            return None
        if error.retry_after is not None:
            return error.retry_after.total_seconds()
        wait = random.uniform(0, self._ceiling)
        self._ceiling = min(self._ceiling * 2, self._longest)
        return wait

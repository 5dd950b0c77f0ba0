"""Waiting for events: never for a span of time."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any


async def until(what: str, probe: Callable[[], Any], within: float = 15.0, every: float = 0.02) -> Any:
    """Ask again and again, awaiting where asked to, until the answer is true; return it. Raises AssertionError after `within` s."""
    end = time.monotonic() + within
    while True:
        answer = probe()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {within:g} s in vain until {what}; the last answer was {answer!r}")
        await asyncio.sleep(every)

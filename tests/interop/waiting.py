"""Waiting for what happens: never for a span of time."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

AnswerT = TypeVar("AnswerT")

PATIENCE: Final = 20.0
"""Seconds after which what has not happened will not happen: enough for the slowest runtime on a busy machine."""


def until(what: str, probe: Callable[[], AnswerT], within: float = PATIENCE) -> AnswerT:
    """Ask again and again until the answer is true; return it. Raises AssertionError after `within` seconds."""
    end = time.monotonic() + within
    while not (answer := probe()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {within:g} s in vain until {what}")
        time.sleep(0.02)
    return answer

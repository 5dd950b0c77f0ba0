"""How long whoever waits for the operation under way still waits: a store need not work for nobody.

It is known by the task, not by arguments: what a task begins inherits it, and work that several callers share must not.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context

_ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)


@contextmanager
def deadline_in(seconds: float) -> Generator[None]:
    """Let what runs in the context have so many seconds from now. It is told to the store; nothing is cancelled here."""
    token = _ends_at.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends_at.reset(token)


def seconds_left() -> float | None:
    """Return how many seconds are left, less than 0 where nobody waits any more; None where somebody waits as long as it takes."""
    ends_at = _ends_at.get()
    return None if ends_at is None else ends_at - time.monotonic()


def unhurried() -> Context:
    """Return a copy of the present context without a deadline, for a task that works for others too or must come to its end."""
    context = copy_context()
    context.run(_ends_at.set, None)
    return context

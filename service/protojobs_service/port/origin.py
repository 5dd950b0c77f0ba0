"""Whose work the operation under way is: a store does that of one origin in its order, and that of several in turns.

It is known by the task, not by arguments: what a task begins inherits it.
"""

from collections.abc import Generator, Hashable
from contextlib import contextmanager
from contextvars import ContextVar

_origin: ContextVar[Hashable] = ContextVar("origin", default=None)


@contextmanager
def working_for(origin: Hashable) -> Generator[None]:
    """Let what runs in the context be of one origin."""
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


def origin() -> Hashable:
    """Return whose work this is; None where nobody has said so, which is an origin of its own."""
    return _origin.get()

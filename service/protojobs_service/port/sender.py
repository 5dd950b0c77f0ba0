"""Whose work the operation under way is: a store does that of one sender in its order, and that of several in turns.

It is known by the task, not by arguments: what a task begins inherits it.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class Sender(NamedTuple):
    """caller: who makes the call. line: tells apart what keeps an order of its own. is_stream: the line is one stream."""

    caller: str
    line: int = 0
    is_stream: bool = False


_SERVER = Sender("")
_sender: ContextVar[Sender] = ContextVar("sender", default=_SERVER)


@contextmanager
def working_for(who: Sender) -> Generator[None]:
    """Let what runs in the context be the work of one sender."""
    token = _sender.set(who)
    try:
        yield
    finally:
        _sender.reset(token)


def sender() -> Sender:
    """Return whose work this is; the server's own where nobody has said so."""
    return _sender.get()

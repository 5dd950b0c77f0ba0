"""Who the call under way comes from: set once per call, read where items are judged."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from protojobs_service.domain.access import ANONYMOUS, Principal

_caller: ContextVar[Principal] = ContextVar("caller", default=ANONYMOUS)


def caller() -> Principal:
    """Return the principal of the call that this task serves."""
    return _caller.get()


@contextmanager
def calling(principal: Principal) -> Generator[None]:
    """Serve a call of `principal` as long as the context lasts; tasks begun within inherit it."""
    token = _caller.set(principal)
    try:
        yield
    finally:
        _caller.reset(token)

"""Who the call under way comes from: set once per call, read where items are judged."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b, sha256

from protojobs_service.domain.access import ANONYMOUS, Principal

_caller: ContextVar[Principal] = ContextVar("caller", default=ANONYMOUS)


def caller() -> Principal:
    """Return the principal of the call that this task serves."""
    return _caller.get()


def of_caller(secret: bytes) -> bytes:
    """Return what a session's secret is known by: 16 bytes, others for each principal, so that one's session is none of another's.

    So it holds on every server without being stored. Tokens of one name are one principal here: one may replace the other while
    the worker keeps its leases. Where nobody is asked for credentials it is the secret itself.
    """
    principal = caller()
    if principal is ANONYMOUS:
        return secret
    who = principal.id if principal.token_id is None else f"token:{principal.name}"
    return blake2b(secret, digest_size=16, key=sha256(who.encode()).digest(), person=b"pj session").digest()


@contextmanager
def calling(principal: Principal) -> Generator[None]:
    """Serve a call of `principal` as long as the context lasts; tasks begun within inherit it."""
    token = _caller.set(principal)
    try:
        yield
    finally:
        _caller.reset(token)

"""New tokens: checked, random, told once; the store gets a hash of the secret."""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Final, NamedTuple

from protojobs_service.application.audit import bounded
from protojobs_service.domain import bounds
from protojobs_service.domain.access import Grant, TokenId
from protojobs_service.domain.errors import InvalidField
from protojobs_service.port import Driver, NewAuditRecord, NewToken, StoredToken, Tokens

TOKEN_PREFIX: Final = "pj_"  # noqa: S105 # the part of a token that everybody knows
"""What every token begins with: scanners for leaked secrets find them by it."""
BY_HAND: Final = "store"
"""The principal of who needs none, because the store itself is in their hands."""

_SECRET_BYTES = 32


class MadeToken(NamedTuple):
    """A new token, and the only copy of what its owner shows: `pj_<id>_<secret>`, 256 random bits in hexadecimal digits."""

    token: StoredToken
    text: str


async def make_token(
    tokens: Tokens, name: str, grants: Sequence[Grant], ttl: timedelta, *, created_by: str, token_id: TokenId = ""
) -> MadeToken:
    """Make a token; without an id it gets a random one. created_by: the id of a principal.

    Raises InvalidField (name, grants, grants[i].queues, ttl, token_id), TokenExists, QuotaExceeded where two of this name live,
    StoreUnavailable.
    """
    if not bounds.NAME.match(name):
        raise InvalidField("name", "must be 1 to 128 of A-Z a-z 0-9 . _ -")
    if not 1 <= len(grants) <= bounds.MAX_GRANTS:
        raise InvalidField("grants", f"must be 1 to {bounds.MAX_GRANTS}")
    for place, grant in enumerate(grants):
        if not bounds.GRANT_QUEUES.match(grant.queues):
            raise InvalidField(f"grants[{place}].queues", "must be 1 to 128 of A-Z a-z 0-9 . _ - * ?")
    check_ttl(ttl, bounds.MAX_TOKEN_TTL)
    if token_id:
        check_id(token_id)
    secret, token_id = _new_secret(), token_id or _new_id()
    new = NewToken(id=token_id, name=name, secret_hash=hash_of(secret), grants=tuple(grants), created_by=created_by, ttl=ttl)
    return MadeToken(await tokens.add(new, most_live=bounds.MAX_LIVE_TOKENS), _text(token_id, secret))


async def make_session(tokens: Tokens, parent: StoredToken, ttl: timedelta) -> MadeToken:
    """Make a console session of a token. Raises InvalidField (ttl), TokenNotFound, QuotaExceeded, StoreUnavailable."""
    check_ttl(ttl, bounds.SESSION_TTL)
    secret, session_id = _new_secret(), _new_id()
    new = NewToken(
        id=session_id,
        name=parent.name,
        secret_hash=hash_of(secret),
        grants=parent.grants,
        created_by=f"token:{parent.id}",
        ttl=ttl,
        parent=parent.id,
    )
    return MadeToken(await tokens.add(new, most_live=bounds.MAX_TOKEN_SESSIONS), _text(session_id, secret))


async def make_by_hand(driver: Driver, name: str, grants: Sequence[Grant], ttl: timedelta) -> MadeToken:
    """Make a token for who has the store in hand, and put that into the audit log. Raises as `make_token` does."""
    made = await make_token(driver.tokens, name, grants, ttl, created_by=BY_HAND)
    granted = ", ".join(f"{grant.scope.value}:{grant.queues}" for grant in grants)
    record = NewAuditRecord(
        principal=BY_HAND,
        via="cli",
        rpc="protojobs.v1.AdminService/CreateToken",
        target=made.token.id,
        outcome="OK",
        peer="",
        details={"name": name, "grants": granted, "ttl": f"{int(ttl.total_seconds())} s"},
    )
    await driver.audit.append([bounded(record)])
    return made


def check_id(token_id: str) -> None:
    """Raise InvalidField (token_id) for what is no id of a token."""
    if not bounds.TOKEN_ID.match(token_id):
        raise InvalidField("token_id", "must be 16 of 0-9 a-f")


def check_ttl(ttl: timedelta, most: timedelta) -> None:
    """Raise InvalidField (ttl) for a life that is too short or too long."""
    if not bounds.MIN_TOKEN_TTL <= ttl <= most:
        raise InvalidField("ttl", f"must be {bounds.MIN_TOKEN_TTL.total_seconds():.0f} s to {most.total_seconds():.0f} s")


def hash_of(secret: str) -> bytes:
    """Return what is stored of a secret: it is random and long, so that a slow hash has no use."""
    return sha256(secret.encode()).digest()


def _new_id() -> TokenId:
    return secrets.token_hex(8)


def _new_secret() -> str:
    return secrets.token_hex(_SECRET_BYTES)


def _text(token_id: TokenId, secret: str) -> str:
    return f"{TOKEN_PREFIX}{token_id}_{secret}"

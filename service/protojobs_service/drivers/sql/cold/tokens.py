"""Tokens as rows."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, or_, select, update

from protojobs_service.domain.access import Grant, Scope, TokenId
from protojobs_service.domain.errors import QuotaExceeded, TokenExists, TokenNotFound
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, insert_all, moment, moment_or_none, span
from protojobs_service.drivers.sql.cold.lanes import FLEET
from protojobs_service.port.access import NewToken, StoredToken

_SCOPES = frozenset(Scope)


def add_token(c: Connection, cold: Cold, token: NewToken, most_live: int) -> StoredToken:
    """Store a token, alone with the fleet's row so that `most_live` is exact. Raises TokenExists, TokenNotFound, QuotaExceeded."""
    table, fleet = cold.tables.token, cold.tables.fleet
    c.execute(select(fleet.c.id).where(fleet.c.id == FLEET).with_for_update())
    now = cold.clock(c)
    if c.execute(select(table.c.id).where(table.c.id == token.id)).first() is not None:
        raise TokenExists
    ends_at = now + span(token.ttl)
    alike = table.c.name == token.name
    if token.parent is not None:
        alike = table.c.parent == token.parent
        # Locked: a revocation that is on its way sees the session, or is seen by it.
        columns = select(table.c.ends_at, table.c.revoked_at)
        row = c.execute(columns.where(table.c.id == token.parent).with_for_update()).one_or_none()
        # Its revocation may have a later time than ours: this transaction waited for it.
        if row is None or row.revoked_at is not None or row.ends_at <= now:
            raise TokenNotFound
        ends_at = min(ends_at, row.ends_at)
    else:
        alike &= table.c.parent.is_(None)
    live = c.execute(select(func.count()).select_from(table).where(alike, table.c.ends_at > now)).scalar_one()
    if live >= most_live:
        raise QuotaExceeded(f"too many live {'tokens of this name' if token.parent is None else 'sessions of this token'}")
    row_of = {
        "id": token.id,
        "name": token.name,
        "secret_hash": token.secret_hash,
        "grants": json.dumps([[grant.scope.value, grant.queues] for grant in token.grants]),
        "created_at": now,
        "created_by": token.created_by,
        "expires_at": ends_at,
        "ends_at": ends_at,
        "parent": token.parent,
    }
    insert_all(c, table, [row_of])
    return to_token(c.execute(select(table).where(table.c.id == token.id)).one())


def read_tokens(c: Connection, cold: Cold, ids: Sequence[TokenId]) -> list[StoredToken | None]:
    """Return tokens in the order of the ids."""
    table = cold.tables.token
    found: dict[TokenId, StoredToken] = {}
    for some in chunks(ids):
        found |= {row.id: to_token(row) for row in c.execute(select(table).where(among(table.c.id, some)))}
    return [found.get(each) for each in ids]


def list_tokens(c: Connection, cold: Cold, after: TokenId, limit: int, *, sessions: bool) -> list[StoredToken]:
    """Return tokens by id, from the first one behind `after`."""
    table = cold.tables.token
    statement = select(table).where(table.c.id > after).order_by(table.c.id).limit(limit)
    return [to_token(row) for row in c.execute(statement if sessions else statement.where(table.c.parent.is_(None)))]


def revoke_token(c: Connection, cold: Cold, token_id: TokenId) -> StoredToken | None:
    """End a token, then its sessions: in a second statement, which sees those that waited for the first one's lock."""
    table = cold.tables.token
    now = cold.clock(c)
    for which in (table.c.id == token_id, table.c.parent == token_id):
        c.execute(update(table).where(which, table.c.ends_at > now).values(revoked_at=now, ends_at=now))
    row = c.execute(select(table).where(table.c.id == token_id)).one_or_none()
    return None if row is None else to_token(row)


def note_use(c: Connection, cold: Cold, ids: Sequence[TokenId]) -> None:
    """Note that tokens are in use; never moves back. In the order of the ids, so that two replicas do not lock each other out."""
    table = cold.tables.token
    now = cold.clock(c)
    earlier = or_(table.c.used_at.is_(None), table.c.used_at < now)
    c.execute(
        update(table).where(table.c.id == bindparam("which"), earlier).values(used_at=now), [{"which": i} for i in sorted(ids)]
    )


def forget_tokens(c: Connection, cold: Cold, kept_us: int, limit: int) -> int:
    """Drop tokens that ended longer ago than `kept_us`."""
    table = cold.tables.token
    before = cold.clock(c) - kept_us
    old = select(table.c.id).where(table.c.ends_at < before).order_by(table.c.ends_at, table.c.id).limit(limit)
    ids = sorted(c.execute(old).scalars())
    return sum(c.execute(delete(table).where(among(table.c.id, some))).rowcount for some in chunks(ids))


def to_token(row: Any) -> StoredToken:
    """Return the token of a row. Scopes of a later version grant nothing here."""
    grants = [(scope, queues) for scope, queues in json.loads(row.grants) if scope in _SCOPES]
    return StoredToken(
        id=row.id,
        name=row.name,
        secret_hash=bytes(row.secret_hash),
        grants=tuple(Grant(Scope(scope), queues) for scope, queues in grants),
        created_at=moment(row.created_at),
        created_by=row.created_by,
        expires_at=moment(row.expires_at),
        revoked_at=moment_or_none(row.revoked_at),
        used_at=moment_or_none(row.used_at),
        parent=row.parent,
    )

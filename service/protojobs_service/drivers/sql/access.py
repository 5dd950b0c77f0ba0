"""Tokens and the audit log of the SQL driver: each call one cold transaction."""

from collections.abc import Sequence
from datetime import timedelta

from protojobs_service.domain.access import TokenId
from protojobs_service.drivers.sql.cold import audit, tokens
from protojobs_service.drivers.sql.cold.base import Cold, span
from protojobs_service.drivers.sql.store import Store
from protojobs_service.port.access import (
    AuditLog,
    AuditQuery,
    AuditRecord,
    NewAuditRecord,
    NewToken,
    StoredToken,
    Tokens,
)


class SqlTokens(Tokens):
    """See the port. `cold.writer` is that of the operations that no pipeline runs."""

    def __init__(self, store: Store, cold: Cold) -> None:
        """Keep tokens in `store`."""
        self._store, self._cold = store, cold

    async def add(self, token: NewToken, *, most_live: int) -> StoredToken:
        return await self._store.run(lambda c: tokens.add_token(c, self._cold, token, most_live))

    async def get(self, ids: Sequence[TokenId]) -> Sequence[StoredToken | None]:
        # Every call of every server depends on it.
        return await self._store.run(lambda c: tokens.read_tokens(c, self._cold, ids), write=False, vital=True)

    async def page(self, after: TokenId, limit: int, *, sessions: bool = False) -> Sequence[StoredToken]:
        return await self._store.run(lambda c: tokens.list_tokens(c, self._cold, after, limit, sessions=sessions), write=False)

    async def revoke(self, token_id: TokenId) -> StoredToken | None:
        return await self._store.run(lambda c: tokens.revoke_token(c, self._cold, token_id))

    async def used(self, ids: Sequence[TokenId]) -> None:
        if ids:
            await self._store.run(lambda c: tokens.note_use(c, self._cold, ids))

    async def forget(self, ended_before: timedelta, limit: int) -> int:
        return await self._store.run(lambda c: tokens.forget_tokens(c, self._cold, span(ended_before), limit))


class SqlAuditLog(AuditLog):
    """See the port."""

    def __init__(self, store: Store, cold: Cold) -> None:
        """Keep records in `store`."""
        self._store, self._cold = store, cold

    async def append(self, records: Sequence[NewAuditRecord]) -> None:
        if records:
            await self._store.run(lambda c: audit.append_records(c, self._cold, records))

    async def page(self, query: AuditQuery) -> Sequence[AuditRecord]:
        return await self._store.run(lambda c: audit.list_records(c, self._cold, query), write=False)

    async def forget(self, older_than: timedelta, limit: int) -> int:
        return await self._store.run(lambda c: audit.forget_records(c, self._cold, span(older_than), limit))

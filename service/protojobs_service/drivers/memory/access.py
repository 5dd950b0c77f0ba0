"""Tokens and the audit log of the reference driver."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from protojobs_service.domain.access import TokenId
from protojobs_service.domain.errors import QuotaExceeded, TokenExists, TokenNotFound
from protojobs_service.port.access import AuditQuery, AuditRecord, NewAuditRecord, NewToken, StoredToken

_MOST_RECORDS = 100_000
"""What nothing but memory keeps must be bounded."""


class MemoryTokens:
    """`port.Tokens`: no method awaits anything, so each is one transaction."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._tokens: dict[TokenId, StoredToken] = {}

    async def add(self, token: NewToken, *, most_live: int) -> StoredToken:
        now = self._now()
        if token.id in self._tokens:
            raise TokenExists
        ends_at = now + token.ttl
        if token.parent is not None:
            parent = self._tokens.get(token.parent)
            if parent is None or parent.revoked_at is not None or parent.ends_at <= now:
                raise TokenNotFound
            ends_at = min(ends_at, parent.expires_at)
        alike = [each for each in self._tokens.values() if each.parent == token.parent and each.ends_at > now]
        live = [each for each in alike if token.parent is not None or each.name == token.name]
        if len(live) >= most_live:
            raise QuotaExceeded(f"too many live {'tokens of this name' if token.parent is None else 'sessions of this token'}")
        stored = StoredToken(
            id=token.id,
            name=token.name,
            secret_hash=token.secret_hash,
            grants=token.grants,
            created_at=now,
            created_by=token.created_by,
            expires_at=ends_at,
            parent=token.parent,
        )
        self._tokens[token.id] = stored
        return stored

    async def get(self, ids: Sequence[TokenId]) -> Sequence[StoredToken | None]:
        return [self._tokens.get(each) for each in ids]

    async def page(self, after: TokenId, limit: int, *, sessions: bool = False) -> Sequence[StoredToken]:
        ids = sorted(each.id for each in self._tokens.values() if each.id > after and (sessions or each.parent is None))
        return [self._tokens[each] for each in ids[:limit]]

    async def revoke(self, token_id: TokenId) -> StoredToken | None:
        now = self._now()
        for each in list(self._tokens.values()):
            if token_id in (each.id, each.parent) and each.ends_at > now:
                self._tokens[each.id] = replace(each, revoked_at=now)
        return self._tokens.get(token_id)

    async def used(self, ids: Sequence[TokenId]) -> None:
        now = self._now()
        for each in ids:
            if each in self._tokens:
                self._tokens[each] = replace(self._tokens[each], used_at=now)

    async def forget(self, ended_before: timedelta, limit: int) -> int:
        before = self._now() - ended_before
        old = sorted((each.ends_at, each.id) for each in self._tokens.values() if each.ends_at < before)[:limit]
        for _, each in old:
            del self._tokens[each]
        return len(old)


class MemoryAuditLog:
    """`port.AuditLog`, of the last 100 000 records."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._records: deque[AuditRecord] = deque(maxlen=_MOST_RECORDS)
        self._last = 0

    async def append(self, records: Sequence[NewAuditRecord]) -> None:
        now = self._now()
        for record in records:
            self._last += 1
            self._records.append(AuditRecord(id=self._last, at=now, record=record))

    async def page(self, query: AuditQuery) -> Sequence[AuditRecord]:
        return list(islice((each for each in reversed(self._records) if _is_asked_for(each, query)), query.limit))

    async def forget(self, older_than: timedelta, limit: int) -> int:
        before, dropped = self._now() - older_than, 0
        while dropped < limit and self._records and self._records[0].at < before:
            self._records.popleft()
            dropped += 1
        return dropped


def _is_asked_for(each: AuditRecord, query: AuditQuery) -> bool:
    return (
        (query.before is None or each.id < query.before)
        and query.principal in ("", each.record.principal)
        and query.rpc in ("", each.record.rpc)
        and (query.since is None or each.at >= query.since)
        and (query.until is None or each.at < query.until)
    )

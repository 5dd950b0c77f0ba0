"""Tokens and the audit log, as a store keeps them. All methods raise StoreUnavailable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from protojobs_service.domain.access import Grant, TokenId


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredToken:
    """A token without its secret. secret_hash: SHA-256 of the secret, which is random and long, so that a slow hash has no use.

    parent: the token that a console session was opened with; it ends no later than that. used_at: to the minute or so.
    """

    id: TokenId
    name: str
    secret_hash: bytes
    grants: tuple[Grant, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None = None
    used_at: datetime | None = None
    parent: TokenId | None = None

    @property
    def ends_at(self) -> datetime:
        """Return when it ends, or has ended."""
        return self.revoked_at or self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token to store: it ends `ttl` after the store's now, and with its parent."""

    id: TokenId
    name: str
    secret_hash: bytes
    grants: tuple[Grant, ...]
    created_by: str
    ttl: timedelta
    parent: TokenId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAuditRecord:
    """Something that was done or refused. outcome: OK or the reason of the refusal. details: small, never payloads or secrets.

    principal, via: who (`Principal.id`), and by what (grpc, http, console, cli). peer: the address the call came from.
    """

    principal: str
    via: str
    rpc: str
    target: str
    outcome: str
    peer: str
    details: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """A stored one; ids rise in the order in which they were stored, with gaps."""

    id: int
    at: datetime
    record: NewAuditRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Which records, newest first: those before `before` (an id), at most `limit`. Empty texts and None choose all."""

    limit: int
    before: int | None = None
    principal: str = ""
    rpc: str = ""
    since: datetime | None = None
    until: datetime | None = None


class Tokens(Protocol):
    """Tokens of one store."""

    async def add(self, token: NewToken, *, most_live: int) -> StoredToken:
        """Store a token.

        Raises TokenExists for a known id; QuotaExceeded where `most_live` of its name live (sessions aside), of a session: of its
        parent; TokenNotFound where its parent is unknown or has ended.
        """
        ...

    async def get(self, ids: Sequence[TokenId]) -> Sequence[StoredToken | None]:
        """Return tokens as they are now, expired and revoked ones too; in the order of the ids."""
        ...

    async def page(self, after: TokenId, limit: int, *, sessions: bool = False) -> Sequence[StoredToken]:
        """Return at most `limit` tokens by id, from the first one behind `after`; console sessions only where wanted."""
        ...

    async def revoke(self, token_id: TokenId) -> StoredToken | None:
        """End a token, and the sessions opened with it, now; None for an unknown id. Repeating it changes nothing."""
        ...

    async def used(self, ids: Sequence[TokenId]) -> None:
        """Note that these tokens are in use."""
        ...

    async def forget(self, ended_before: timedelta, limit: int) -> int:
        """Drop at most `limit` tokens that ended (expired or revoked) longer ago than this; returns how many."""
        ...


class AuditLog(Protocol):
    """Append only: nothing changes a record, and only age removes it."""

    async def append(self, records: Sequence[NewAuditRecord]) -> None:
        """Store records, all in one transaction, at the store's now."""
        ...

    async def page(self, query: AuditQuery) -> Sequence[AuditRecord]:
        """Return records, newest first."""
        ...

    async def forget(self, older_than: timedelta, limit: int) -> int:
        """Drop at most `limit` of the oldest records that are older than this; returns how many."""
        ...

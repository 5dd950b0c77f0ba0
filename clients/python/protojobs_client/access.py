"""Who may do what, as callers read it: scopes, grants, tokens, and what the audit log says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from protojobs.v1 import admin_service_pb2

from protojobs_client.parse import time_of


class Scope(Enum):
    """What kind of work is allowed. None includes another, except that ADMIN includes all."""

    PRODUCER = "producer"  # dispatch, and see, cancel or wait for a job by its id
    WORKER = "worker"  # lease and settle
    OBSERVER = "observer"  # stats, lists and events; never payloads, results or error texts
    OPERATOR = "operator"  # what an observer sees with payloads, and every change of jobs, queues and schedules
    ADMIN = "admin"  # tokens, the audit log, and all of the above


@dataclass(frozen=True, slots=True)
class Grant:
    """A scope on the queues whose names match `queues`, in which * stands for any characters and ? for one."""

    scope: Scope
    queues: str = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInfo:
    """A token without its secret. `used_at` is right to a few minutes; None where it was never used."""

    token_id: str
    name: str
    grants: tuple[Grant, ...]
    created_at: datetime | None
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeToken:
    """A new token with the only copy of its secret, which is what `Options.token` takes. Its repr hides that."""

    token: TokenInfo
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerInfo:
    """Who the credentials of this client belong to. `principal` is stable; `expires_at` None means never."""

    principal: str
    name: str
    grants: tuple[Grant, ...]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """Something that was done, or refused: `outcome` is OK or the reason. `principal` is empty where nobody was proven."""

    event_id: str
    at: datetime | None
    principal: str
    via: str
    rpc: str
    target: str
    outcome: str
    peer: str
    details: Mapping[str, str]


_SCOPES = {scope: admin_service_pb2.Scope.Value(f"SCOPE_{scope.name}") for scope in Scope}
_BY_NUMBER = {number: scope for scope, number in _SCOPES.items()}


def to_grant(grant: Grant) -> admin_service_pb2.Grant:
    """Return the message."""
    return admin_service_pb2.Grant(scope=_SCOPES[grant.scope], queues=grant.queues)


def _grants(grants: Iterable[admin_service_pb2.Grant]) -> tuple[Grant, ...]:
    """Read grants; scopes that are newer than this client are left out."""
    return tuple(Grant(_BY_NUMBER[each.scope], each.queues) for each in grants if each.scope in _BY_NUMBER)


def token_info(token: admin_service_pb2.Token) -> TokenInfo:
    """Read a token."""
    return TokenInfo(
        token_id=token.token_id,
        name=token.name,
        grants=_grants(token.grants),
        created_at=time_of(token, "create_time"),
        created_by=token.created_by,
        expires_at=time_of(token, "expire_time"),
        revoked_at=time_of(token, "revoke_time"),
        used_at=time_of(token, "last_used_time"),
    )


def caller_info(answer: admin_service_pb2.GetCallerResponse) -> CallerInfo:
    """Read who calls."""
    return CallerInfo(
        principal=answer.principal,
        name=answer.name,
        grants=_grants(answer.grants),
        expires_at=time_of(answer, "expire_time"),
    )


def audit_event(event: admin_service_pb2.AuditEvent) -> AuditEvent:
    """Read a record of the audit log."""
    return AuditEvent(
        event_id=event.event_id,
        at=time_of(event, "event_time"),
        principal=event.principal,
        via=event.via,
        rpc=event.rpc,
        target=event.target,
        outcome=event.outcome,
        peer=event.peer,
        details=dict(event.details),
    )

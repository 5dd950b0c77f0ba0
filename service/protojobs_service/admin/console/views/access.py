"""Tokens and the audit log, as admins see them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from protojobs.v1 import admin_service_pb2 as pb

from protojobs_service.admin.console.views.fields import at

_JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenView:
    """A token; its secret is known to nobody here."""

    id: str
    name: str
    grants: Sequence[tuple[str, str]]
    created: datetime | None
    created_by: str
    expires: datetime | None
    revoked: datetime | None
    used: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """A line of the audit log. page: the path of what it was done to; empty where that has none."""

    when: datetime | None
    principal: str
    via: str
    rpc: str
    target: str
    page: str
    outcome: str
    peer: str
    details: Sequence[tuple[str, str]]


def view_token(token: pb.Token) -> TokenView:
    """Return the view of a token."""
    return TokenView(
        id=token.token_id,
        name=token.name,
        grants=[(pb.Scope.Name(grant.scope).removeprefix("SCOPE_").lower(), grant.queues or "*") for grant in token.grants],
        created=at(token, "create_time"),
        created_by=token.created_by,
        expires=at(token, "expire_time"),
        revoked=at(token, "revoke_time"),
        used=at(token, "last_used_time"),
    )


def view_event(event: pb.AuditEvent) -> EventView:
    """Return the view of an audit record."""
    return EventView(
        when=at(event, "event_time"),
        principal=event.principal,
        via=event.via,
        rpc=event.rpc.removeprefix("protojobs.v1."),
        target=event.target,
        page=_page(event),
        outcome=event.outcome,
        peer=event.peer,
        details=sorted(event.details.items()),
    )


def _page(event: pb.AuditEvent) -> str:
    service = event.rpc.removeprefix("protojobs.v1.").partition("/")[0]
    if service == "QueueService" and event.target:
        return f"/queues/{quote(event.target, safe='')}"
    return f"/jobs/{event.target}" if service == "JobService" and _JOB_ID.fullmatch(event.target) else ""

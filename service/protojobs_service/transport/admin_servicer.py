"""AdminService: who calls, tokens, and the audit log."""

# ruff: noqa: N802 # methods have the names of the RPCs

from collections.abc import Sequence

from protojobs.v1 import admin_service_pb2

from protojobs_service.application import Application, AuditQuery, AuditRecord, StoredToken
from protojobs_service.domain import bounds
from protojobs_service.domain.access import EVERY_QUEUE, Grant, Scope
from protojobs_service.domain.errors import InvalidField
from protojobs_service.transport.call import Context
from protojobs_service.transport.caller import caller
from protojobs_service.transport.convert import check_text, parse_page_size, parse_span, parse_time, to_timestamp
from protojobs_service.transport.pages import Pages

SCOPES = {
    Scope.PRODUCER: admin_service_pb2.SCOPE_PRODUCER,
    Scope.WORKER: admin_service_pb2.SCOPE_WORKER,
    Scope.OBSERVER: admin_service_pb2.SCOPE_OBSERVER,
    Scope.OPERATOR: admin_service_pb2.SCOPE_OPERATOR,
    Scope.ADMIN: admin_service_pb2.SCOPE_ADMIN,
}
_SCOPES_BY_NUMBER = {number: scope for scope, number in SCOPES.items()}
_MOST_PRINCIPAL, _MOST_RPC = 512, 128


class AdminServicer:
    """Answers AdminService over the use cases."""

    def __init__(self, application: Application) -> None:
        self._tokens = application.tokens
        self._audit = application.audit

    async def GetCaller(
        self, _request: admin_service_pb2.GetCallerRequest, _context: Context
    ) -> admin_service_pb2.GetCallerResponse:
        """Return who calls."""
        principal = caller()
        expire_time = None if principal.expires_at is None else to_timestamp(principal.expires_at)
        return admin_service_pb2.GetCallerResponse(
            principal=principal.id, name=principal.name, grants=_to_grants(principal.grants), expire_time=expire_time
        )

    async def CreateToken(
        self, request: admin_service_pb2.CreateTokenRequest, _context: Context
    ) -> admin_service_pb2.CreateTokenResponse:
        """Make a token."""
        made = await self._tokens.create(
            request.name,
            [_parse_grant(f"grants[{place}]", grant) for place, grant in enumerate(request.grants)],
            parse_span("ttl", request.ttl, bounds.MIN_TOKEN_TTL, bounds.MAX_TOKEN_TTL),
            created_by=caller().id,
            token_id=request.token_id,
        )
        return admin_service_pb2.CreateTokenResponse(token=_to_token(made.token), secret=made.text)

    async def ListTokens(
        self, request: admin_service_pb2.ListTokensRequest, _context: Context
    ) -> admin_service_pb2.ListTokensResponse:
        """Return a page of tokens."""
        size, pages = parse_page_size(request.page_size), Pages(request)
        after = pages.name(request.page_token)
        found = await self._tokens.page(after, size + 1)
        token = pages.after_name(found[size - 1].id) if len(found) > size else ""
        return admin_service_pb2.ListTokensResponse(tokens=[_to_token(each) for each in found[:size]], next_page_token=token)

    async def RevokeToken(
        self, request: admin_service_pb2.RevokeTokenRequest, _context: Context
    ) -> admin_service_pb2.RevokeTokenResponse:
        """End a token and its sessions."""
        return admin_service_pb2.RevokeTokenResponse(token=_to_token(await self._tokens.revoke(request.token_id)))

    async def ListAuditEvents(
        self, request: admin_service_pb2.ListAuditEventsRequest, _context: Context
    ) -> admin_service_pb2.ListAuditEventsResponse:
        """Return a page of the audit log."""
        size, pages = parse_page_size(request.page_size), Pages(request)
        query = AuditQuery(
            limit=size + 1,
            before=pages.number(request.page_token),
            principal=check_text("principal", request.principal, _MOST_PRINCIPAL),
            rpc=check_text("rpc", request.rpc, _MOST_RPC),
            since=parse_time("start_time", request.start_time) if request.HasField("start_time") else None,
            until=parse_time("end_time", request.end_time) if request.HasField("end_time") else None,
        )
        found = await self._audit.page(query)
        token = pages.after_number(found[size - 1].id) if len(found) > size else ""
        return admin_service_pb2.ListAuditEventsResponse(events=[_to_event(each) for each in found[:size]], next_page_token=token)


def _parse_grant(path: str, grant: admin_service_pb2.Grant) -> Grant:
    scope = _SCOPES_BY_NUMBER.get(grant.scope)
    if scope is None:
        raise InvalidField(f"{path}.scope", "is no known scope")
    return Grant(scope, grant.queues or EVERY_QUEUE)


def _to_grants(grants: Sequence[Grant]) -> list[admin_service_pb2.Grant]:
    return [admin_service_pb2.Grant(scope=SCOPES[grant.scope], queues=grant.queues) for grant in grants]


def _to_token(token: StoredToken) -> admin_service_pb2.Token:
    return admin_service_pb2.Token(
        token_id=token.id,
        name=token.name,
        grants=_to_grants(token.grants),
        create_time=to_timestamp(token.created_at),
        expire_time=to_timestamp(token.expires_at),
        revoke_time=None if token.revoked_at is None else to_timestamp(token.revoked_at),
        last_used_time=None if token.used_at is None else to_timestamp(token.used_at),
        created_by=token.created_by,
    )


def _to_event(each: AuditRecord) -> admin_service_pb2.AuditEvent:
    record = each.record
    return admin_service_pb2.AuditEvent(
        event_id=str(each.id),
        event_time=to_timestamp(each.at),
        principal=record.principal,
        via=record.via,
        rpc=record.rpc,
        target=record.target,
        outcome=record.outcome,
        peer=record.peer,
        details=record.details,
    )

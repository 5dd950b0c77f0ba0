"""For admins: who has tokens, and what was done and refused."""

from protojobs.v1 import admin_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from protojobs_service.admin.console.desk import Console
from protojobs_service.admin.console.views.access import view_event, view_token

_SERVICE = "protojobs.v1.AdminService"
_PAGE_SIZE = 100


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of both pages."""

    async def show_tokens(request: Request) -> Response:
        message = pb.ListTokensRequest(page_size=_PAGE_SIZE, page_token=request.query_params.get("after", ""))
        listed = await console.ask(request, f"{_SERVICE}/ListTokens", message, pb.ListTokensResponse)
        return console.page(
            request, "tokens.html", tokens=[view_token(each) for each in listed.tokens], more=listed.next_page_token
        )

    async def revoke(request: Request) -> Response:
        message = pb.RevokeTokenRequest(token_id=request.path_params["token"])
        await console.ask(request, f"{_SERVICE}/RevokeToken", message, pb.RevokeTokenResponse)
        return console.go("/tokens?done=revoked")

    async def show_audit(request: Request) -> Response:
        query = request.query_params
        message = pb.ListAuditEventsRequest(
            page_size=_PAGE_SIZE,
            page_token=query.get("after", ""),
            principal=query.get("principal", ""),
            rpc=query.get("rpc", ""),
        )
        listed = await console.ask(request, f"{_SERVICE}/ListAuditEvents", message, pb.ListAuditEventsResponse)
        return console.page(
            request,
            "audit.html",
            events=[view_event(each) for each in listed.events],
            principal=message.principal,
            rpc=message.rpc,
            more=listed.next_page_token,
        )

    return [
        Route("/tokens", show_tokens),
        Route("/tokens/{token}/revoke", revoke, methods=["POST"]),
        Route("/audit", show_audit),
    ]

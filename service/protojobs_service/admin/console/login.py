"""Logging in with a token, and out."""

import grpc
from protojobs.v1 import admin_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from protojobs_service.admin.attempts import Attempts
from protojobs_service.admin.console.desk import Console
from protojobs_service.admin.console.way_back import read_back
from protojobs_service.admin.refusal import http_status
from protojobs_service.admin.sessions import Sessions
from protojobs_service.admin.within import peer_of
from protojobs_service.domain.errors import JobsError, TokenNotFound, Unauthenticated
from protojobs_service.transport.local import Refused
from protojobs_service.transport.status import to_status

_CALLER = "protojobs.v1.AdminService/GetCaller"
_REFUSED = "this token is unknown, or has ended"
_NO_SESSION = "no session can be opened with this token"


def login_routes(console: Console, attempts: Attempts) -> list[BaseRoute]:
    """Return the routes of the login, which leads to the page that was asked for; where nobody is asked to log in, at once."""

    async def login(request: Request) -> Response:
        if console.sessions is None or (request.method != "POST" and console.visitor(request).credential):
            return console.go(read_back(request.query_params.get("back", "")))
        if request.method != "POST":
            return _form(console, request, request.query_params.get("back", ""))
        attempts.take(request.client.host if request.client else "")
        return await _open(console, console.sessions, request)

    async def logout(request: Request) -> Response:
        response = console.go("/login")
        if console.sessions is not None:
            await _close(console, console.sessions, request)
            console.session_cookie.set(request, response, "")
        return response

    return [Route("/login", login, methods=["GET", "POST"]), Route("/logout", logout, methods=["POST"])]


async def _open(console: Console, sessions: Sessions, request: Request) -> Response:
    """Open a session with the token of the form; the one that the visitor had ends."""
    form = console.form(request)
    token, back = form.get("token", "").strip(), form.get("back", "")
    try:
        # As a call first: what is refused is then audited like any other.
        await console.ask_with(token, request, _CALLER, pb.GetCallerRequest(), pb.GetCallerResponse)
        credential = await sessions.open(token, peer=peer_of(request))
    except (Refused, Unauthenticated, TokenNotFound) as error:
        if isinstance(error, Refused) and error.code is not grpc.StatusCode.UNAUTHENTICATED:
            raise
        return _form(console, request, back, 401, _REFUSED)
    except JobsError as error:
        return _form(console, request, back, http_status(to_status(error)), f"{_NO_SESSION}: {error.message}")
    await _close(console, sessions, request)
    response = console.go(read_back(back))
    console.session_cookie.set(request, response, credential)
    return response


def _form(console: Console, request: Request, back: str, status_code: int = 200, problem: str = "") -> Response:
    return console.page(request, "login.html", status_code, problem=problem, back=read_back(back))


async def _close(console: Console, sessions: Sessions, request: Request) -> None:
    """End the session that the visitor has, if any."""
    credential = console.visitor(request).credential
    if credential:
        await sessions.close(credential, peer=peer_of(request))

"""What stands before every page of the console, whatever the page does: nothing is up to a handler."""

import contextlib
from typing import Final

from protojobs.v1 import admin_service_pb2 as pb
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from protojobs_service.admin.body import Intake
from protojobs_service.admin.console.desk import Console
from protojobs_service.admin.console.failures import failure
from protojobs_service.admin.console.way_back import LOGIN
from protojobs_service.admin.cookies import Cookie, new_key
from protojobs_service.admin.forms import check_token, parse_form
from protojobs_service.admin.hosts import SAFE_METHODS, Hosts, check_origin, is_local
from protojobs_service.admin.sessions import Visitor
from protojobs_service.admin.within import REQUEST_ID, request_id_of
from protojobs_service.domain.access import ANONYMOUS
from protojobs_service.domain.errors import Unauthenticated
from protojobs_service.transport.local import Refused

HEADERS: Final = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'",
    "x-content-type-options": "nosniff",
    # With no-referrer browsers would send our own forms without their origin.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_TLS_ONLY = "max-age=31536000"
_STATIC = "/static/"


class Guard:
    """Lets a request through to the pages if a page of ours sent it and, but for the login, somebody is logged in.

    Every answer gets the security headers, an error's too. strangers, insiders: how much is read of forms before and after login.
    """

    def __init__(self, app: ASGIApp, console: Console, hosts: Hosts, *, strangers: Intake, insiders: Intake) -> None:
        self._app = app
        self._console = console
        self._hosts = hosts
        self._strangers = strangers
        self._insiders = insiders

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope, receive)
        sealed = _Seal(request, send, keep=self._path(request).startswith(_STATIC))
        kept = self._console.visitor_cookie.read(request)
        request.state.request_id = sealed.request_id = request_id_of(request.headers)
        request.state.visitor = Visitor(principal=None, credential="", key=kept or new_key())
        request.state.form = parse_form(request, b"")
        try:
            await self._admit(request, sealed)
        except Exception as error:  # noqa: BLE001 # whatever it is, it gets a page with the headers
            await failure(self._console, request, error)(scope, receive, sealed)
        else:
            await self._app(scope, receive, sealed)

    async def _admit(self, request: Request, sealed: "_Seal") -> None:
        self._hosts.check(request)
        unsafe = request.method not in SAFE_METHODS
        if unsafe:
            check_origin(request, from_page=True)
        path = self._path(request)
        if path.startswith(_STATIC) and not unsafe:
            return
        visitor = request.state.visitor = await self._recognise(request)
        self._give_cookies(request, visitor, sealed)
        if visitor.principal is None and path != LOGIN:
            raise Unauthenticated
        if unsafe:
            intake = self._strangers if visitor.principal is None else self._insiders
            request.state.form = parse_form(request, await intake.read(request))
            check_token(request, request.state.form, visitor.csrf)

    async def _recognise(self, request: Request) -> Visitor:
        """Return who the cookie proves."""
        console, key = self._console, request.state.visitor.key
        if console.sessions is None:
            return Visitor(principal=ANONYMOUS, credential="", key=key)
        given = console.session_cookie.read(request)
        if not given:
            return Visitor(principal=None, credential="", key=key)
        try:
            principal = await console.sessions.verify(given)
        except Unauthenticated:
            # Said again as a call: what is forged or was stolen is then audited like any other refusal.
            with contextlib.suppress(Refused):
                await console.ask_with(
                    given, request, "protojobs.v1.AdminService/GetCaller", pb.GetCallerRequest(), pb.GetCallerResponse
                )
            return Visitor(principal=None, credential="", key=key)
        return Visitor(principal=principal, credential=given, key=given)

    def _give_cookies(self, request: Request, visitor: Visitor, sealed: "_Seal") -> None:
        console = self._console
        if visitor.credential:
            return
        if console.session_cookie.read(request):
            sealed.give(console.session_cookie, "")
        if not console.visitor_cookie.read(request):
            sealed.give(console.visitor_cookie, visitor.key)

    def _path(self, request: Request) -> str:
        path: str = request.scope["path"]
        return path.removeprefix(self._console.base)


class _Seal:
    """Sends an answer with the security headers, and with cookies before those that the page sets."""

    def __init__(self, request: Request, send: Send, *, keep: bool) -> None:
        self._request = request
        self._send = send
        self._keep = keep
        self._cookies = Response()
        self.request_id = ""

    def give(self, cookie: Cookie, value: str) -> None:
        """Set a cookie, or drop it."""
        cookie.set(self._request, self._cookies, value)

    async def __call__(self, message: Message) -> None:
        """Pass on what is sent."""
        if message["type"] == "http.response.start":
            given = [(b"set-cookie", value.encode()) for value in self._cookies.headers.getlist("set-cookie")]
            message = {**message, "headers": [*given, *message["headers"]]}
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS | {REQUEST_ID: self.request_id})
            # What is static is asked for anew each time, and not sent again while it is the same.
            headers["cache-control"] = "no-cache" if self._keep else "no-store"
            if not is_local(self._request):
                headers["strict-transport-security"] = _TLS_ONLY
        await self._send(message)

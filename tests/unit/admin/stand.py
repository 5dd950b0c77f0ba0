"""A console over procedures that ask for credentials, and a browser in front of it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx
import pytest
from protojobs.v1 import admin_service_pb2, queue_service_pb2
from protojobs_service.admin.console.desk import Console
from protojobs_service.admin.hosts import Hosts
from protojobs_service.admin.sessions import Sessions
from protojobs_service.admin.site import console_site, site_routes
from protojobs_service.application import NewAuditRecord
from protojobs_service.domain.access import Grant, Principal, Scope
from protojobs_service.domain.errors import JobsError, PermissionDenied, Unauthenticated
from protojobs_service.settings import load
from protojobs_service.transport.call import Call, Proceed
from protojobs_service.transport.caller import caller, calling
from protojobs_service.transport.interceptors import Errors
from protojobs_service.transport.local import LocalCalls
from protojobs_service.transport.procedures import procedures
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route

TOKEN = "pj_0123456789abcdef_" + "a" * 64
MOST_BYTES = 64 * 1024


class Opened(NamedTuple):
    """A session's token."""

    text: str


class FakeTokens:
    """Tokens in a dictionary: one of an operator, and the sessions opened with it. failure: what opening one ends in."""

    def __init__(self) -> None:
        operator = Principal(id="token:1", name="<b>Ann</b>", grants=(Grant(Scope.OPERATOR, "mail*"),), token_id="1")
        self.live: dict[str, Principal] = {TOKEN: operator}
        self.refused: list[str] = []
        self.failure: JobsError | None = None

    async def verify(self, text: str) -> Principal:
        if text not in self.live:
            raise Unauthenticated
        return self.live[text]

    async def open_session(self, principal: Principal) -> Opened:
        if self.failure is not None:
            raise self.failure
        if principal.is_session:
            raise PermissionDenied("a session opens no session")
        text = f"session-{len(self.live)}"
        self.live[text] = Principal(id=principal.id, name=principal.name, grants=principal.grants, token_id=text)
        return Opened(text)

    async def revoke(self, token_id: str) -> None:
        del self.live[token_id]

    async def authenticate(self, call: Call, proceed: Proceed) -> Any:
        """Serve a call as whoever its bearer token proves; remember those that prove nobody."""
        metadata = call.context.invocation_metadata() or ()
        given = str(dict(metadata).get("authorization", "")).removeprefix("Bearer ")
        if given not in self.live:
            self.refused.append(given)
            raise Unauthenticated
        with calling(self.live[given]):
            return await proceed(call)


class GetCaller:
    """Says who calls, and nothing else."""

    async def GetCaller(self, _request: Any, _context: Any) -> admin_service_pb2.GetCallerResponse:  # noqa: N802 # the RPC's name
        return admin_service_pb2.GetCallerResponse(principal=caller().id)


class NoQueues:
    """What the first page asks for, where there is no queue yet."""

    async def Stats(self, _request: Any, _context: Any) -> queue_service_pb2.StatsResponse:  # noqa: N802 # as above
        return queue_service_pb2.StatsResponse()


@dataclass
class Stand:
    """A console. routes: all of it; app: as the admin port serves it. now: what its clock says."""

    base: str = "/"
    asks: bool = True
    hosts: tuple[str, ...] = ("jobs.example.com",)
    now: float = 0.0
    tokens: FakeTokens = field(default_factory=FakeTokens)
    noted: list[NewAuditRecord] = field(default_factory=list[NewAuditRecord])

    def __post_init__(self) -> None:
        admin = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"]
        queues = queue_service_pb2.DESCRIPTOR.services_by_name["QueueService"]
        made = [
            *procedures(admin, GetCaller(), (Errors("1"), self.tokens.authenticate)).values(),
            *procedures(queues, NoQueues(), (Errors("1"),)).values(),
        ]
        local = LocalCalls({each.rpc.path: each for each in made})
        settings = load(console={"base_path": self.base, "allowed_hosts": self.hosts}).console
        sessions = Sessions(self.tokens, self._note) if self.asks else None
        self.console = Console(local, sessions, settings)
        self.routes = site_routes(self.console, lambda: self.now)

    async def _note(self, record: NewAuditRecord) -> None:
        self.noted.append(record)

    @property
    def app(self) -> Starlette:
        """Return the console as it is served."""
        return Starlette(routes=[console_site(self.console, Hosts(self.hosts), self.routes, most_bytes=MOST_BYTES)])

    def browser(self, place: str = "https://jobs.example.com") -> "Browser":
        """Return a browser that knows no cookie yet."""
        return Browser(self, place)


class Browser:
    """Sends requests as a browser does from our own pages."""

    def __init__(self, stand: Stand, place: str) -> None:
        self.place = place
        self.base = stand.base.rstrip("/")
        transport = httpx.ASGITransport(app=stand.app, client=("192.0.2.1", 4711))
        self.http = httpx.AsyncClient(transport=transport, base_url=place)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.http.get(self.base + path, headers=headers)

    async def post(self, path: str, form: Mapping[str, str], **headers: str) -> httpx.Response:
        """Send a form with the CSRF token of the login page or of the first page."""
        page = await self.get("/login")
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', (await self.get("/") if page.is_redirect else page).text)
        token = found[1] if found else ""
        fields = {"csrf": token, **form}
        return await self.http.post(self.base + path, data=fields, headers={"origin": self.place, **headers})

    async def login(self, token: str = TOKEN) -> httpx.Response:
        return await self.post("/login", {"token": token})


def every(routes: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, frozenset[str]]]:
    """Give the path of each route, with something for its parameters, and its methods."""
    for route in routes:
        if isinstance(route, Route):
            yield prefix + re.sub(r"{\w+(:\w+)?}", "x", route.path), frozenset(route.methods or ())
        elif isinstance(route, Mount):
            yield f"{prefix}{route.path}/console.css", frozenset({"GET", "HEAD"})
        else:
            pytest.fail(f"a route of a kind that the guard is not tested with: {route}")

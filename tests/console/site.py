"""A console that runs, and what a page of it holds."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
from protojobs_service import compose
from protojobs_service.admin.sessions import Record, Tokens, Visitor
from protojobs_service.admin.web import web_routes
from protojobs_service.compose import RunningServer, start_server
from protojobs_service.domain.access import Grant, Principal, Scope
from protojobs_service.settings import Settings
from protojobs_service.transport.local import LocalCalls
from starlette.routing import BaseRoute

from tests.schema import make_sqlite
from tests.wire.lease_worker import Service
from tests.wire.peer import Peer, connected, settings_for

_BLOCKS = frozenset({"br", "dd", "div", "dt", "li", "p", "small", "td", "th"})


class Markup(HTMLParser):
    """What a page is made of: its elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.elements: list[tuple[str, dict[str, str]]] = []
        self._text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember an element."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag in _BLOCKS:
            self._text.append(" ")

    def handle_data(self, data: str) -> None:
        """Remember text."""
        self._text.append(data)

    @property
    def text(self) -> str:
        """Return all text, with single spaces."""
        return " ".join("".join(self._text).split())

    def named(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Return the attributes of all elements of a tag that have these."""
        return [found for name, found in self.elements if name == tag and attributes.items() <= found.items()]

    @property
    def actions(self) -> list[str]:
        """Return where the page's forms that change something are sent."""
        return [form["action"] for form in self.named("form", method="post")]


@dataclass(slots=True)
class Site:
    """A server on SQLite, its console, and a browser without a screen."""

    server: RunningServer
    peer: Peer
    http: httpx.AsyncClient
    base: str = ""

    @property
    def service(self) -> Service:
        """Return what raw workers connect to."""
        return Service(self.server.application, self.peer.channel, self.server.address)

    @property
    def token(self) -> str:
        """Return what every form of a page holds."""
        key = self.http.cookies.get("pj") or self.http.cookies.get("pj-visitor") or ""
        return Visitor(principal=None, credential="", key=key).csrf

    async def page(self, path: str, *, status: int = 200) -> Markup:
        """Return a page, which must come with this status."""
        response = await self.http.get(self.base + path)
        assert response.status_code == status, response.text
        page = Markup(response.text)
        assert {field["value"] for field in page.named("input", name="csrf")} <= {self.token}
        return page

    async def send(self, path: str, fields: Mapping[str, str | Sequence[str]] | None = None, *, status: int = 200) -> Markup:
        """Send a form as a page of the site would, go where that leads, and return the page there."""
        if not self.http.cookies:
            await self.page("/")
        data: dict[str, Any] = {"csrf": self.token, **(fields or {})}
        response = await self.http.post(self.base + path, data=data, headers={"origin": str(self.http.base_url).rstrip("/")})
        assert response.status_code == status, response.text
        return Markup(response.text)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A session that was opened."""

    text: str


class OneVisitor(Tokens):
    """Tokens of one person, who is always logged in with the cookie `ticket`."""

    def __init__(self, *grants: Grant) -> None:
        self._principal = Principal(id="token:0123456789abcdef", name="olga", grants=grants, token_id="fedcba9876543210")

    async def verify(self, text: str) -> Principal:
        """Return who it is."""
        return self._principal

    async def open_session(self, principal: Principal) -> Ticket:
        """Give the ticket."""
        return Ticket("ticket")

    async def revoke(self, token_id: str) -> object:
        """Let it be."""
        return None


OBSERVER = Grant(Scope.OBSERVER)


@asynccontextmanager
async def serving(home: Path, *, visitor: Tokens | None = None, **settings: Any) -> AsyncGenerator[Site]:
    """Run a server on SQLite whose console is visited by anybody, or by `visitor` alone."""
    chosen = settings_for(driver="sqlite", sqlite={"path": home / "jobs.db"}, **settings)
    make_sqlite(home / "jobs.db")

    def routes(local: LocalCalls, _: Tokens | None, settings: Settings, *, record: Record) -> list[BaseRoute]:
        return web_routes(local, visitor, settings, record=record)

    async with AsyncExitStack() as stack:
        # While it starts, and no longer: other servers of this process have visitors of their own.
        with mock.patch.object(compose, "web_routes", routes):
            server = await stack.enter_async_context(start_server(chosen))
        peer = await stack.enter_async_context(connected(server))
        cookies = {"pj": "ticket"} if visitor else {}
        client = httpx.AsyncClient(base_url=f"http://{server.admin_address}", cookies=cookies, follow_redirects=True)
        http = await stack.enter_async_context(client)
        yield Site(server, peer, http, chosen.console.base_path.rstrip("/"))

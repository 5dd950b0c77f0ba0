"""What every page of the console works with."""

from typing import Any, TypeVar

from google.protobuf.message import Message
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from protojobs_service.admin.console.views import text
from protojobs_service.admin.console.views.notices import read_notice
from protojobs_service.admin.cookies import SESSION_SECONDS, Cookie
from protojobs_service.admin.sessions import VIA, Sessions, Visitor
from protojobs_service.admin.within import metadata_of, peer_of
from protojobs_service.domain.access import Scope
from protojobs_service.settings import ConsoleSettings
from protojobs_service.transport.local import LocalCalls

M = TypeVar("M", bound=Message)


class Console:
    """Asks the service on behalf of whoever looks, and renders what it says. sessions: None where nobody is asked to log in."""

    def __init__(self, local: LocalCalls, sessions: Sessions | None, settings: ConsoleSettings) -> None:
        self.local = local
        self.sessions = sessions
        self.settings = settings
        self.base = settings.base_path.rstrip("/")
        self.session_cookie = Cookie("pj", self.base, seconds=SESSION_SECONDS)
        self.visitor_cookie = Cookie("pj-visitor", self.base)
        self.templates = Environment(
            loader=PackageLoader("protojobs_service.admin.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            # Nothing that a template prints can forget it.
            finalize=text.printed,
        )
        self.templates.filters |= {
            each.__name__: each for each in (text.count, text.cut, text.moment, text.rate, text.since, text.size, text.span)
        }

    async def ask(self, request: Request, path: str, message: Message, answer: type[M]) -> M:
        """Return the answer of a unary RPC, `protojobs.v1.JobService/GetJob`, called as the visitor. Raises Refused."""
        return await self.ask_with(self.visitor(request).credential, request, path, message, answer)

    async def ask_with(self, credential: str, request: Request, path: str, message: Message, answer: type[M]) -> M:
        """Return the answer to whoever has this credential, empty: to nobody in particular. Raises Refused."""
        authorization = f"Bearer {credential}" if credential else None
        metadata = metadata_of(request.headers, via=VIA, authorization=authorization, request_id=self.request_id(request))
        return await self.local.call(path, message, answer, metadata=metadata, peer=peer_of(request))

    def visitor(self, request: Request) -> Visitor:
        """Return who asks."""
        visitor: Visitor = request.state.visitor
        return visitor

    def request_id(self, request: Request) -> str:
        """Return the id under which the request is logged and audited."""
        request_id: str = request.state.request_id
        return request_id

    def form(self, request: Request) -> ImmutableMultiDict[str, str]:
        """Return the fields of the form that was sent, whose CSRF token has been checked."""
        fields: ImmutableMultiDict[str, str] = request.state.form
        return fields

    def may(self, request: Request, scope: Scope, queue: str | None = None) -> bool:
        """Tell whether to show what needs a scope, on this queue or on any. The call itself is judged again."""
        return self.visitor(request).may(scope, queue)

    def url(self, path: str) -> str:
        """Return the address of a page, `/queues`."""
        return f"{self.base}{path}"

    def page(self, request: Request, template: str, status_code: int = 200, **context: Any) -> Response:
        """Render a template. It knows, beside its context: url(path), visitor, csrf, request_id, notice, may(scope, queue)."""
        visitor = self.visitor(request)

        def may(scope: str, queue: str | None = None) -> bool:
            return visitor.may(Scope(scope), queue)

        known = {
            "url": self.url,
            "visitor": visitor,
            "csrf": visitor.csrf,
            "may": may,
            "request_id": self.request_id(request),
            "notice": read_notice(request.query_params),
        }
        return HTMLResponse(self.templates.get_template(template).render(known | context), status_code)

    def go(self, path: str) -> Response:
        """Send the browser to a page, `/queues`, after a form."""
        return RedirectResponse(self.url(path), status_code=303)

"""The console as the admin port serves it: its pages behind their guard."""

from collections.abc import Callable, Sequence

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Router
from starlette.staticfiles import StaticFiles

from protojobs_service.admin.attempts import Attempts
from protojobs_service.admin.body import Intake
from protojobs_service.admin.console.desk import Console
from protojobs_service.admin.console.failures import failure
from protojobs_service.admin.console.login import login_routes
from protojobs_service.admin.console.pages import page_routes
from protojobs_service.admin.hosts import Hosts
from protojobs_service.admin.security import Guard

_STRANGERS_BYTES = 8 * 1024
_AT_ONCE = 16


def site_routes(console: Console, clock: Callable[[], float]) -> list[BaseRoute]:
    """Return every route of the console, below its base path. clock: seconds that only rise."""
    static = Mount("/static", StaticFiles(packages=[("protojobs_service.admin.console", "static")]))
    return [static, *login_routes(console, Attempts(clock)), *page_routes(console)]


def console_site(console: Console, hosts: Hosts, routes: Sequence[BaseRoute], *, most_bytes: int) -> Mount:
    """Return the console at its base path, behind its guard. most_bytes: of a form of somebody who is logged in."""

    async def tell(request: Request, error: Exception) -> Response:
        return failure(console, request, error)

    # Exception stands here, inside the guard: Starlette's own place for it is outside of all middleware.
    told = ExceptionMiddleware(Router(routes), handlers={HTTPException: tell, Exception: tell})
    guard = Guard(
        told,
        console,
        hosts,
        strangers=Intake(_STRANGERS_BYTES, most_at_once=_STRANGERS_BYTES * _AT_ONCE),
        insiders=Intake(most_bytes, most_at_once=most_bytes * _AT_ONCE),
    )
    return Mount(console.base or "/", guard)

"""The console as the admin port serves it: its pages behind their guard."""

import time
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Router
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


def console_site(console: Console, hosts: Hosts, *, most_bytes: int, clock: Callable[[], float] = time.monotonic) -> Mount:
    """Return the mount of the console. most_bytes: of a form of somebody who is logged in. clock: seconds that only rise."""

    async def tell(request: Request, error: Exception) -> Response:
        return failure(console, request, error)

    static = Mount("/static", StaticFiles(packages=[("protojobs_service.admin.console", "static")]))
    pages = Router([static, *login_routes(console, Attempts(clock)), *page_routes(console)])
    # Exception stands here, inside the guard: Starlette's own place for it is outside of all middleware.
    told = ExceptionMiddleware(pages, handlers={HTTPException: tell, Exception: tell})
    guard = Guard(
        told,
        console,
        hosts,
        strangers=Intake(_STRANGERS_BYTES, most_at_once=_STRANGERS_BYTES * _AT_ONCE),
        insiders=Intake(most_bytes, most_at_once=most_bytes * _AT_ONCE),
    )
    return Mount(console.base or "/", guard)

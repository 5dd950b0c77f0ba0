"""Pages that say why there is no other page."""

from http import HTTPStatus

import grpc
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from protojobs_service.admin.console.desk import Console
from protojobs_service.admin.console.way_back import login_path
from protojobs_service.admin.refusal import HttpRefusal, http_status
from protojobs_service.domain.errors import Unauthenticated
from protojobs_service.transport.local import Refused
from protojobs_service.transport.status import to_status

# htmx sends it, and follows this instead of putting the login page into a part of another one.
_PART, _GO = "hx-request", "hx-redirect"


def failure(console: Console, request: Request, error: Exception) -> Response:
    """Return the page that tells of an error; whoever is not logged in is led to the login."""
    match error:
        case Refused(code=grpc.StatusCode.UNAUTHENTICATED) | Unauthenticated():
            return _login(console, request)
        case Refused():
            return _page(console, request, http_status(error.status), error.status.message)
        case HttpRefusal():
            response = _page(console, request, error.status_code, error.status.message)
            response.headers.update(error.headers)
            return response
        case HTTPException(status_code=404):
            return _page(console, request, 404, "there is no such page")
        case HTTPException():
            response = _page(console, request, error.status_code, error.detail)
            response.headers.update(error.headers or {})
            return response
        case _:
            status = to_status(error)
            return _page(console, request, http_status(status), status.message)


def _login(console: Console, request: Request) -> Response:
    login = console.url(login_path(request, console.base))
    if request.headers.get(_PART) == "true":
        return Response(status_code=401, headers={_GO: login})
    if request.method == "GET":
        return RedirectResponse(login, status_code=303)
    return _page(console, request, 401, "log in first; nothing was changed")


def _page(console: Console, request: Request, status_code: int, message: str) -> Response:
    title = HTTPStatus(status_code).phrase if status_code in set(HTTPStatus) else "Refused"
    return console.page(request, "error.html", status_code, title=title, message=message)

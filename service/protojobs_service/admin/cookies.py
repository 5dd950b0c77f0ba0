"""The console's cookies."""

import secrets
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from protojobs_service.admin.hosts import is_local

_SESSION_BYTES = 32
SESSION_SECONDS: Final = 8 * 60 * 60


class Cookie:
    """A cookie that no script reads and no other site makes a browser send in a form.

    It is `__Host-NAME` at the root of a host, `__Secure-NAME` below a base path, and on plain HTTP at this machine's own names,
    where browsers would refuse both, NAME. seconds: how long browsers keep it; None: until they are closed.
    """

    def __init__(self, name: str, base: str, *, seconds: int | None = None) -> None:
        self._name = name
        self._base = base
        self._seconds = seconds

    def read(self, request: Request) -> str:
        """Return its value, empty where there is none."""
        return request.cookies.get(self.name(request), "")

    def name(self, request: Request) -> str:
        """Return what it is called for this request."""
        if is_local(request):
            return self._name
        return f"__Secure-{self._name}" if self._base else f"__Host-{self._name}"

    def set(self, request: Request, response: Response, value: str) -> None:
        """Let the browser keep a value; an empty one: drop it."""
        response.set_cookie(
            self.name(request),
            value,
            max_age=self._seconds if value else 0,
            path=self._base or "/",
            secure=not is_local(request),
            httponly=True,
            samesite="lax",
        )


def new_key() -> str:
    """Return a value that nobody guesses."""
    return secrets.token_urlsafe(_SESSION_BYTES)

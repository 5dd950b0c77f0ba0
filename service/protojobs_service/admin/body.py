"""Bodies of requests, bounded in bytes and in time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import grpc
from starlette.requests import Request

from protojobs_service.admin.refusal import HttpRefusal

MOST_SECONDS: Final = 10.0
"""A body that takes longer, whatever its size, is given up: 4 MiB pass at 420 KiB/s."""

# So many times of what would have been taken is read and dropped.
_DROPPED = 4
# The rest of such a body may not have been read, so the connection is of no more use.
_CLOSE = {"connection": "close"}


class Intake:
    """Reads bodies: each of `most_bytes` at most, all at once of `most_at_once`, and each within `seconds`."""

    def __init__(self, most_bytes: int, *, most_at_once: int, seconds: float = MOST_SECONDS) -> None:
        self._most_bytes = most_bytes
        self._most_at_once = most_at_once
        self._seconds = seconds
        self._held = 0

    async def read(self, request: Request) -> bytes:
        """Return the whole body. Raises HttpRefusal (413, 408, 429), ClientDisconnect."""
        announced, pieces = request.headers.get("content-length", ""), request.stream()
        if announced.isdecimal() and int(announced) > self._most_bytes:
            raise await self._too_large(request, pieces)
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                async for chunk in pieces:
                    body += chunk
                    self._held += len(chunk)
                    if len(body) > self._most_bytes:
                        raise await self._too_large(request, pieces)
                    if self._held > self._most_at_once:
                        raise _too_much_at_once()
        except TimeoutError:
            raise HttpRefusal(408, f"the body did not arrive within {self._seconds:g} s", headers=_CLOSE) from None
        finally:
            self._held -= len(body)
        return bytes(body)

    async def _too_large(self, request: Request, rest: AsyncIterator[bytes]) -> HttpRefusal:
        await self._drop(request, rest)
        code = grpc.StatusCode.RESOURCE_EXHAUSTED
        return HttpRefusal(413, f"the body has more than {self._most_bytes} bytes", code=code, headers=_CLOSE)

    async def _drop(self, request: Request, rest: AsyncIterator[bytes]) -> None:
        """Let the rest pass by, if it is not much: who is still sending when we hang up never sees the answer."""
        if "expect" in request.headers:
            return
        left = _DROPPED * self._most_bytes
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                async for chunk in rest:
                    left -= len(chunk)
                    if left < 0:
                        break


def _too_much_at_once() -> HttpRefusal:
    code, headers = grpc.StatusCode.RESOURCE_EXHAUSTED, _CLOSE | {"retry-after": "1"}
    return HttpRefusal(429, "too many bodies at once", code=code, reason="OVERLOADED", headers=headers)

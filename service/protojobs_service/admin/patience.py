"""How long a caller over HTTP waits: until a deadline of its own, and no longer than it is there."""

import asyncio
import re
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from google.protobuf.duration_pb2 import Duration
from starlette.requests import ClientDisconnect, Request

from protojobs_service.admin.json_read import read_duration
from protojobs_service.admin.json_request import TIMEOUT
from protojobs_service.domain.errors import InvalidField
from protojobs_service.transport.status import DeadlinePassed

T = TypeVar("T")

_HEADER: Final = "grpc-timeout"
# https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def deadline_of(request: Request) -> float | None:
    """Return the seconds that the caller gives: `grpc-timeout: 5S` or `?timeout=5s`. Raises InvalidField."""
    header, query = request.headers.get(_HEADER), request.query_params.getlist(TIMEOUT)
    if len(query) + (header is not None) > 1:
        raise InvalidField(TIMEOUT, "is given twice")
    if header is not None:
        found = _TIMEOUT.fullmatch(header)
        if found is None:
            raise InvalidField(_HEADER, "is not a number of up to 8 digits and a unit, such as 5S or 500m")
        return int(found[1]) * _UNITS[found[2]]
    if not query:
        return None
    span = Duration()
    read_duration(span, query[0], TIMEOUT)
    return max(span.seconds + span.nanos / 1e9, 0.0)


async def bounded(request: Request, seconds: float | None, call: Coroutine[Any, Any, T]) -> T:
    """Return what the call gives; it is cancelled when the time is over or the caller has gone, as gRPC does.

    Raises DeadlinePassed, ClientDisconnect, and what the call raises.
    """
    limit = asyncio.timeout(seconds)
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        limit.reschedule(asyncio.get_running_loop().time())

    watching = asyncio.ensure_future(watch())  # noqa: TID251 # it ends below; a group would wrap what the call raises
    try:
        async with limit:
            return await call
    except TimeoutError:
        if gone:
            raise ClientDisconnect from None
        if limit.expired():
            raise DeadlinePassed from None
        raise
    finally:
        watching.cancel()

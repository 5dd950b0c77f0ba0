"""The frame that a stream begins with: whoever opens one and says nothing holds no place in it, and no server that is going."""

import asyncio
from collections.abc import AsyncIterator

from protojobs_service.domain.errors import Draining
from protojobs_service.transport.ending import ending
from protojobs_service.transport.interceptors import Drain

_SECONDS = 10.0


async def first_frame(frames: AsyncIterator[bytes], drain: Drain) -> bytes | None:
    """Return the first frame, None where the other side ends without one.

    Raises Draining where none comes within 10 s, or before the server goes.
    """
    limit = asyncio.timeout(_SECONDS)
    try:
        async with limit:
            with drain.calling(ending(limit)):
                return await anext(frames, None)
    except TimeoutError:
        if limit.expired():
            raise Draining("no first frame came") from None
        raise

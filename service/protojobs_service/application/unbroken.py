"""Calls to the store that must not be broken off half-way: what they have changed there, somebody here must learn."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from protojobs_service.port.deadline import unhurried

T = TypeVar("T")


class Unbroken:
    """Owns calls that run on when their caller is cancelled; `finish` waits for them."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, call: Coroutine[Any, Any, T], *, forsaken: Callable[[T], None] | None = None) -> T:
        """Return what `call` returns; where the caller is cancelled, `forsaken` gets it once it is there."""
        task = asyncio.get_running_loop().create_task(call, context=unhurried())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if forsaken is not None:
                task.add_done_callback(lambda done: _hand_on(done, forsaken))
            raise

    async def finish(self) -> None:
        """Return once no call is on its way."""
        while self._running:
            await asyncio.wait(self._running)


def _hand_on(done: "asyncio.Task[T]", forsaken: Callable[[T], None]) -> None:
    if not done.cancelled() and done.exception() is None:
        forsaken(done.result())

"""Programs that are killed one after the other and started again, while the test's work goes on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol


class Victim(Protocol):
    """What can be killed: a program, a server, a broker."""

    @property
    def name(self) -> str:
        """Return its name in the history."""
        ...

    async def kill_and_start(self) -> None:
        """Kill it and start it again; a server or broker serves again when this returns."""
        ...


async def kill_in_turn(
    victims: Iterable[Victim], between: Callable[[], Awaitable[object]], over: asyncio.Event, killed: list[str]
) -> None:
    """Kill each victim once `between` has returned, and start it again, until there is none or it is `over`.

    killed: gets their names. A server serves again before the next one is killed.
    """
    for victim in victims:
        await _unless(over, between())
        if over.is_set():
            break
        killed.append(victim.name)
        await victim.kill_and_start()


def after(seconds: float) -> Callable[[], Awaitable[object]]:
    """Return what leaves the victims so much time between two kills."""
    return lambda: asyncio.sleep(seconds)


async def _unless(over: asyncio.Event, waiting: Awaitable[object]) -> None:
    """Wait, but no longer than until it is over. Raises what `waiting` raises."""
    first, second = asyncio.ensure_future(waiting), asyncio.ensure_future(over.wait())
    try:
        await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
        if first.done():
            first.result()
    finally:
        first.cancel()
        second.cancel()

"""Programs that are killed one after the other and started again, while the test's work goes on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from tests.chaos.processes import Program
from tests.chaos.stand import Server


async def kill_in_turn(
    victims: Iterable[Program | Server], between: Callable[[], Awaitable[object]], over: asyncio.Event, killed: list[str]
) -> None:
    """Kill each victim once `between` has returned, and start it again, until there is none or it is `over`.

    killed: gets their names. A server serves again before the next one is killed.
    """
    for victim in victims:
        await _unless(over, between())
        if over.is_set():
            break
        program = victim.program if isinstance(victim, Server) else victim
        program.kill()
        killed.append(program.name)
        program.start()
        if isinstance(victim, Server):
            await victim.ready()


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

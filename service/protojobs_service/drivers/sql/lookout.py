"""One look at the store for all parts of a replica's upkeep that want one at about the same time."""

import asyncio

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.sql.cold.base import Cold
from protojobs_service.drivers.sql.cold.signs import Signs, read_signs
from protojobs_service.drivers.sql.store import Store
from protojobs_service.port.deadline import unhurried

_JOIN_S = 0.001
"""How long the first who asks waits for others: timers that end together do so within the clock's resolution."""


class Lookout:
    """Reads signs of work. To ask costs a wake-up, a statement and its answer, so an idle replica asks once for all its timers."""

    def __init__(self, store: Store, cold: Cold) -> None:
        """Use the ground of the operations that no pipeline runs."""
        self._store, self._cold = store, cold
        self._next: asyncio.Task[Signs] | None = None
        self._looks: set[asyncio.Task[Signs]] = set()

    async def look(self) -> Signs:
        """Return signs that are read after the call began. A caller that is cancelled stops no other one.

        Raises StoreUnavailable, Overloaded.
        """
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._look(), name="sql-look", context=unhurried())
            self._looks.add(self._next)
            self._next.add_done_callback(self._end)
        look = self._next
        try:
            return await asyncio.shield(look)
        except asyncio.CancelledError:
            if look.cancelled():  # by `close`: who asked goes on
                raise StoreUnavailable("the store is closed") from None
            raise

    async def close(self) -> None:
        """Break off what is on its way: it reads only."""
        for look in self._looks:
            look.cancel()
        await asyncio.gather(*self._looks, return_exceptions=True)

    async def _look(self) -> Signs:
        await asyncio.sleep(_JOIN_S)
        self._next = None
        return await self._store.ask(lambda c: read_signs(c, self._cold), vital=True)

    def _end(self, look: "asyncio.Task[Signs]") -> None:
        self._looks.discard(look)
        if self._next is look:
            self._next = None
        if not look.cancelled():
            look.exception()  # who asked may be gone

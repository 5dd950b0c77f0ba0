"""Events of the SQL driver: each call one cold transaction."""

from datetime import timedelta

from protojobs_service.domain.errors import CursorExpired
from protojobs_service.drivers.sql.cold.base import Cold, span
from protojobs_service.drivers.sql.cold.event_log import forget_flushes, log_end, read_log
from protojobs_service.drivers.sql.store import Store
from protojobs_service.port.events import Events, LogEnd, LogPage, LogQuery, Position


class SqlEvents(Events):
    """See the port."""

    def __init__(self, store: Store, cold: Cold) -> None:
        """Read the log of `store`."""
        self._store, self._cold = store, cold
        self._gone: Position = {}

    async def end(self) -> LogEnd:
        return await self._store.run(lambda c: log_end(c, self._cold), write=False)

    async def read(self, query: LogQuery) -> LogPage:
        try:
            return await self._store.run(lambda c: read_log(c, self._cold, query), write=False)
        except CursorExpired:
            # MariaDB gathers what a snapshot sees while others commit, so it may see a commit and not the one just before; what is
            # really gone is gone in the next snapshot too.
            return await self._store.run(lambda c: read_log(c, self._cold, query), write=False)

    async def forget(self, older_than: timedelta, limit: int) -> int:
        gone = self._gone
        dropped, self._gone = await self._store.run(lambda c: forget_flushes(c, self._cold, span(older_than), limit, gone))
        return dropped

"""Queues of the SQL driver: each call one cold transaction, or batches of them."""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from protojobs_service.domain.queue import QueueSettings
from protojobs_service.drivers.sql.cold import queues as cold_queues
from protojobs_service.drivers.sql.cold import settings as cold_settings
from protojobs_service.drivers.sql.cold.base import Cold, moment
from protojobs_service.drivers.sql.cold.stats import numbers
from protojobs_service.drivers.sql.lanes import Lanes
from protojobs_service.drivers.sql.marks import Marks
from protojobs_service.drivers.sql.store import Store
from protojobs_service.port.queues import Cleared, ClearQuery, QueueNumbers, Queues, SettingsBook

_BATCH = 2000


class SqlQueues(Queues):
    """See the port. `cold.writer` is that of the operations that no pipeline runs."""

    def __init__(self, store: Store, cold: Cold, lanes: Lanes, marks: Marks) -> None:
        """Keep the lanes in step with what is changed here."""
        self._store, self._cold, self._lanes, self._marks = store, cold, lanes, marks
        self._told = 0

    async def settings(self, known_version: int) -> SettingsBook | None:
        newest = await self._store.run(lambda c: cold_settings.version(c, self._cold), write=False)
        book = None
        if newest != known_version:
            book = await self._store.run(lambda c: cold_settings.book(c, self._cold), write=False)
            newest = book.version
        if newest != self._told:
            await self._store.run(lambda c: cold_settings.acknowledge(c, self._cold, newest))
            self._told = newest
        return book

    def tell_again(self) -> None:
        """Acknowledge the settings anew: this replica goes by another number now."""
        self._told = 0

    async def change(self, queue: str, change: Callable[[QueueSettings], QueueSettings]) -> QueueSettings:
        settings = await self._store.run(lambda c: cold_settings.change(c, self._cold, queue, change))
        await self._changed()
        return settings

    async def acknowledged(self, version: int) -> bool:
        if self._told < version:
            return False
        return await self._store.run(lambda c: cold_settings.acknowledged(c, self._cold, version), write=False)

    async def delete(self, queue: str, *, force: bool) -> None:
        def step(c: Connection) -> bool:
            return cold_queues.delete_queue(c, self._cold, queue, force=force, batch=_BATCH)

        while not await self._store.run(step):
            continue
        await self._changed()

    async def _changed(self) -> None:
        self._marks.forget()
        await self._lanes.reload()

    async def clear(self, query: ClearQuery) -> Cleared:
        return await self._store.run(lambda c: cold_queues.clear(c, self._cold, query), write=not query.dry_run)

    async def stats(self, queue: str | None) -> tuple[Sequence[QueueNumbers], datetime]:
        found, at = await self._store.run(lambda c: numbers(c, self._cold, queue), write=False)
        return found, moment(at)

    async def reconcile(self) -> int:
        return await self._store.run(lambda c: cold_queues.reconcile(c, self._cold))

"""Queues of the SQL driver: each call one cold transaction, or batches of them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import count

from protojobs_service.domain.queue import QueueSettings
from protojobs_service.drivers.sql.cold import queues as cold_queues
from protojobs_service.drivers.sql.cold import settings as cold_settings
from protojobs_service.drivers.sql.cold.base import Cold, moment, span
from protojobs_service.drivers.sql.cold.claimable import claimable
from protojobs_service.drivers.sql.cold.clear import clear
from protojobs_service.drivers.sql.cold.keys import forget_queue
from protojobs_service.drivers.sql.cold.recount import Part, differ, mend
from protojobs_service.drivers.sql.cold.soon import due_soon
from protojobs_service.drivers.sql.cold.stats import numbers
from protojobs_service.drivers.sql.lanes import Lanes
from protojobs_service.drivers.sql.lookout import Lookout
from protojobs_service.drivers.sql.marks import Marks
from protojobs_service.drivers.sql.store import Store
from protojobs_service.port.queues import Cleared, ClearQuery, QueueNumbers, Queues, SettingsBook

_BATCH = 500
_TRUSTING = 2
"""How often a counter is believed that says a queue still has final jobs, after all of them were deleted."""


class SqlQueues(Queues):
    """See the port. `cold.writer` is that of the operations that no pipeline runs."""

    def __init__(self, store: Store, cold: Cold, lanes: Lanes, marks: Marks, lookout: Lookout) -> None:
        """Keep the lanes in step with what is changed here."""
        self._store, self._cold, self._lanes, self._marks, self._lookout = store, cold, lanes, marks, lookout
        self._told = 0

    async def settings(self, known_version: int) -> SettingsBook | None:
        newest = (await self._lookout.look()).version
        book = None
        if newest != known_version:
            book = await self._store.run(lambda c: cold_settings.book(c, self._cold), write=False, vital=True)
            newest = book.version
            await self._lanes.reload()  # whoever acknowledges settings keeps to them
        if newest != self._told and await self._store.run(lambda c: cold_settings.acknowledge(c, self._cold, newest), vital=True):
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
        await self._store.run(lambda c: cold_queues.refuse(c, self._cold, queue, force=force), write=False)
        for turn in count():
            if force:
                await self._empty(queue)
            drop = partial(cold_queues.drop_queue, cold=self._cold, queue=queue, force=force, trust=turn < _TRUSTING)
            if await self._store.run(drop):
                break
        while await self._store.run(lambda c: forget_queue(c, self._cold, queue, _BATCH)) == _BATCH:
            continue
        await self._changed()

    async def _empty(self, queue: str) -> None:
        after: bytes | None = None
        while True:
            step = partial(cold_queues.empty_queue, cold=self._cold, queue=queue, after=after, limit=_BATCH)
            after = await self._store.run(step)
            if after is None:
                return

    async def _changed(self) -> None:
        self._marks.forget()
        await self._lanes.reload()

    async def clear(self, query: ClearQuery) -> Cleared:
        return await self._store.run(lambda c: clear(c, self._cold, query), write=not query.dry_run)

    async def stats(self, queue: str | None) -> tuple[Sequence[QueueNumbers], datetime]:
        found, at = await self._store.run(lambda c: numbers(c, self._cold, queue), write=False)
        return found, moment(at)

    async def due_soon(self, within: timedelta, limit: int) -> Mapping[str, Mapping[str, int]]:
        return await self._store.run(lambda c: due_soon(c, self._cold, span(within), limit), write=False)

    async def claimable(self, queues: Collection[str], most: int) -> Mapping[str, Mapping[str, int]]:
        return await self._store.run(lambda c: claimable(c, self._cold, queues, most), write=False)

    async def reconcile(self) -> int:
        mended = 0
        for part in Part:
            found = await self._store.scan(partial(differ, cold=self._cold, part=part))
            if found is not None and (found.changes or part is Part.FINAL):
                mended += await self._store.run(partial(mend, cold=self._cold, part=part, found=found))
        return mended

"""Running the transactions that end jobs: with the lanes that the jobs need which are stored besides."""

import logging
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.domain.job import NewJob
from protojobs_service.drivers.sql.cold.follow_ups import Children, LanesMissing
from protojobs_service.drivers.sql.lanes import Lanes, Pair
from protojobs_service.drivers.sql.ready import Ready
from protojobs_service.drivers.sql.store import Store

T = TypeVar("T")

_log = logging.getLogger(__name__)
_TRIES = 5


class Bringing:
    """Runs such transactions. Belongs to the event loop."""

    def __init__(self, store: Store, lanes: Lanes, ready: Ready) -> None:
        """Use what `ready` was told of follow-ups."""
        self._store, self._lanes, self._ready = store, lanes, ready

    async def run(self, once: Callable[[Children], Awaitable[T]], places: int, known: Collection[Pair] = ()) -> T:
        """Return what `once` returns: a transaction, run again where it needs lanes that nobody has made.

        places: how many positions it may well need. known: lanes that it needs, as far as one can tell. Raises StoreUnavailable.
        """
        full = await self._lanes.make(known)
        for _ in range(_TRIES):
            try:
                with self._ready.positions.flight(places) as base:
                    return await once(
                        Children(
                            follow_ups=self._ready.follow_ups,
                            lanes=self._lanes.ids,
                            full=full,
                            ids=self._store.id_range,
                            bounded=self._lanes.deep,
                            base=base,
                        )
                    )
            except LanesMissing as missing:
                full |= await self._lanes.make(missing.pairs)
        raise StoreUnavailable("the queue is being deleted")


def log_skipped(skipped: Collection[NewJob]) -> None:
    """Say which jobs were not stored although the one that brings them has ended: they exist, or there is no room for them."""
    for job in skipped:
        parent = "" if job.parent is None else job.parent.hex()
        _log.warning("child skipped", extra={"job_id": parent, "child_id": job.id.hex(), "queue": job.queue, "kind": job.kind})

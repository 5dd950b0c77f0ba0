"""Schedules of the SQL driver: each call one cold transaction."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.schedule import Change, Schedule
from protojobs_service.drivers.sql.cold.base import Cold, span
from protojobs_service.drivers.sql.cold.schedules import change_schedule, list_schedules, preview_change, read_schedule
from protojobs_service.drivers.sql.cold.ticks import due_pairs, fire, forget_ticks
from protojobs_service.drivers.sql.lanes import Lanes
from protojobs_service.drivers.sql.lookout import Lookout
from protojobs_service.drivers.sql.ready import Ready
from protojobs_service.drivers.sql.store import Store
from protojobs_service.port.schedules import Fired, Firing, Schedules


class SqlSchedules(Schedules):
    """See the port. `cold.writer` is that of the operations that no pipeline runs."""

    def __init__(self, store: Store, cold: Cold, lanes: Lanes, ready: Ready, lookout: Lookout, most: int) -> None:
        """Keep at most `most` schedules; use `ready` to tell of the jobs that ticks make."""
        self._most = most
        self._store, self._cold, self._lanes, self._ready, self._lookout = store, cold, lanes, ready, lookout

    async def change(self, name: str, change: Change) -> Schedule | None:
        wanted = await self._store.run(lambda c: preview_change(c, self._cold, name, change), write=False)
        if wanted is not None:
            await self._lanes.resolve([(wanted.queue, wanted.kind)])
        return await self._store.run(lambda c: change_schedule(c, self._cold, name, change, self._most))

    async def get(self, name: str) -> Schedule | None:
        return await self._store.run(lambda c: read_schedule(c, self._cold, name), write=False)

    async def page(self, after: str, limit: int) -> Sequence[Schedule]:
        return await self._store.run(lambda c: list_schedules(c, self._cold, after, limit), write=False)

    async def fire(self, firing: Firing) -> Fired:
        if not (await self._lookout.look()).ticks:
            return Fired()
        pairs = await self._store.ask(lambda c: due_pairs(c, self._cold, firing.schedules))
        if not pairs:
            return Fired()
        full = await self._lanes.make(pairs)
        with self._ready.positions.flight(firing.jobs) as base:
            step = partial(
                fire,
                cold=self._cold,
                firing=firing,
                lanes=self._lanes.ids,
                full=full,
                bounded=self._lanes.deep,
                base=base,
                ids=self._store.id_range,
            )
            fired, stored = await self._store.run(step)
        self._ready.add(stored.arrivals, sum(state is State.PENDING for state in stored.states.values()))
        return fired

    async def forget_ticks(self, older_than: timedelta, limit: int) -> int:
        return await self._store.run(lambda c: forget_ticks(c, self._cold, span(older_than), limit))

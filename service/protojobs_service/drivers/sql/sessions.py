"""Sessions of the SQL driver: each call one cold transaction."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random
from typing import TypeVar

from sqlalchemy import Connection

from protojobs_service.domain.job import Handle, JobId, Lease
from protojobs_service.drivers.sql.children import Bringing, log_skipped
from protojobs_service.drivers.sql.cold import sessions as cold_sessions
from protojobs_service.drivers.sql.cold.base import Cold
from protojobs_service.drivers.sql.cold.fleet import beat
from protojobs_service.drivers.sql.cold.follow_ups import Children
from protojobs_service.drivers.sql.cold.incarnation import Renewed, beats, begin_anew
from protojobs_service.drivers.sql.cold.rescue import Rescued, may_rescue, rescue
from protojobs_service.drivers.sql.cold.sessions import Front
from protojobs_service.drivers.sql.lanes import Lanes
from protojobs_service.drivers.sql.lookout import Lookout
from protojobs_service.drivers.sql.ready import Ready
from protojobs_service.drivers.sql.store import Store
from protojobs_service.port.jobs import Settlement
from protojobs_service.port.sessions import CancelRequest, Found, Opened, Opening, SessionRecord, Sessions

T = TypeVar("T")

_MOST_RETURNED = 200_000
"""Front positions that are given out for what one session may hold; they cost nothing."""
_BEATS_WITHIN_S = 3.0
"""A replica that lives beats every second."""


class SqlSessions(Sessions):
    """See the port. `cold.writer` is that of the operations that no pipeline runs."""

    def __init__(self, store: Store, cold: Cold, lanes: Lanes, ready: Ready, lookout: Lookout, rng: Random) -> None:
        """Use `ready` to tell of jobs that come back."""
        self._store, self._cold, self._ready, self._lookout, self._rng = store, cold, ready, lookout, rng
        self._bringing = Bringing(store, lanes, ready)
        self._looked_to = 0
        self._swept_until = 0

    async def _run(self, operation: Callable[[Connection], T], *, write: bool = True) -> T:
        return await self._store.run(operation, write=write, vital=True)

    def _front(self, n: int = _MOST_RETURNED) -> Front:
        return Front(position=self._ready.positions.front(n), rng=self._rng)

    async def open(self, opening: Opening) -> Opened:
        front = self._front()
        opened, arrivals = await self._run(lambda c: cold_sessions.open_session(c, self._cold, opening, front))
        self._ready.open_handles.clear()
        self._ready.add(arrivals, len(arrivals))
        return opened

    async def find(self, secret: bytes) -> Found | None:
        return await self._run(lambda c: cold_sessions.find(c, self._cold, secret), write=False)

    async def leased(self, handle: Handle) -> Sequence[Lease]:
        return await self._run(lambda c: cold_sessions.leased(c, self._cold, handle), write=False)

    async def renew(self, handles: Sequence[Handle]) -> Sequence[Handle]:
        return await self._run(lambda c: cold_sessions.renew(c, self._cold, handles)) if handles else []

    async def detach(self, handle: Handle, started: Sequence[JobId], grace: timedelta | None) -> None:
        await self._run(lambda c: cold_sessions.detach(c, self._cold, handle, started, grace))

    async def close(self, handle: Handle, started: Sequence[JobId]) -> int:  # noqa: ARG002 - a release counts nothing either way
        front = self._front()
        returned, arrivals = await self._run(lambda c: cold_sessions.close_session(c, self._cold, handle, front))
        self._ready.open_handles.clear()
        self._ready.add(arrivals, returned)
        return returned

    async def refuse_all(self) -> Renewed:
        """End every session for good, in a store that was restored. Raises StoreUnavailable, also while another replica lives."""
        before = await self._run(lambda c: beats(c, self._cold), write=False)
        if before:
            await asyncio.sleep(_BEATS_WITHIN_S)
        front = self._front()
        renewed = await self._run(lambda c: begin_anew(c, self._cold, front, before))
        self._ready.open_handles.clear()
        self._ready.add(renewed.arrivals, renewed.returned)
        return renewed

    async def leases(self, handles: Sequence[Handle]) -> Sequence[tuple[Handle, JobId, int]]:
        return await self._run(lambda c: cold_sessions.leases(c, self._cold, handles), write=False) if handles else []

    async def rescue(self, limit: int) -> Sequence[Settlement]:
        after, self._swept_until = self._swept_until, 0  # where the store fails, it may be an older one that answers next
        found, since = await self._store.ask(lambda c: may_rescue(c, self._cold, after), vital=True)
        self._swept_until = after if found else since
        return await self._rescue(limit, everything=False) if found else []

    async def rescue_left_over(self, limit: int) -> Sequence[Settlement]:
        """Rescue what a sweep that was cut short has left under handles that were closed long ago."""
        return await self._rescue(limit, everything=True)

    async def _rescue(self, limit: int, *, everything: bool) -> Sequence[Settlement]:
        front = self._front(limit)

        async def once(children: Children) -> tuple[Rescued, bool]:
            def sweep(c: Connection) -> tuple[Rescued, bool]:
                silent, mine = beat(c, self._cold)
                after = self._looked_to
                if silent:
                    return Rescued([], set(), after), mine
                return rescue(c, self._cold, limit, front, children, after=after, everything=everything), mine

            return await self._run(sweep)

        rescued, mine = await self._bringing.run(once, limit)
        log_skipped(rescued.skipped)
        self._looked_to = rescued.after
        self._cold.replica.lost = not mine
        self._ready.open_handles.clear()
        self._ready.add(rescued.arrivals, len(rescued.applied) + rescued.brought)
        return rescued.applied

    async def beat(self) -> None:
        _, mine = await self._run(lambda c: beat(c, self._cold))
        self._cold.replica.lost = not mine

    async def cancel_requests(self, handles: Sequence[Handle]) -> Sequence[CancelRequest]:
        if not (handles and (await self._lookout.look()).cancels):
            return []
        return await self._store.ask(lambda c: cold_sessions.cancel_requests(c, self._cold, handles), vital=True)

    async def list(self, queue: str | None, after: int, limit: int) -> Sequence[SessionRecord]:
        return await self._run(lambda c: cold_sessions.list_sessions(c, self._cold, queue, after, limit), write=False)

    async def drain(self, session: int, deadline: timedelta) -> bool:
        return await self._run(lambda c: cold_sessions.drain(c, self._cold, session, deadline))

    async def draining(self, handles: Sequence[Handle]) -> Sequence[tuple[Handle, timedelta]]:
        if not handles:
            return []
        return await self._store.ask(lambda c: cold_sessions.draining(c, self._cold, handles), vital=True)

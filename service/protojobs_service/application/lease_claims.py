"""Claiming what waits in the store for streams that have room.

Woken by arrivals and by freed room, and every quarter second while there is room and nothing was heard.
"""

from collections.abc import Collection, Sequence

from protojobs_service.application.clock import Clock
from protojobs_service.application.known_queues import KnownQueues
from protojobs_service.application.lease_errands import Errands
from protojobs_service.application.lease_room import LeaseRoom
from protojobs_service.application.lease_session import LeaseSession
from protojobs_service.application.timings import Timings
from protojobs_service.domain.job import Lease
from protojobs_service.port import Claim, Driver

_MOST_PER_CLAIM = 2000


class LeaseClaims:
    """The claim loop of this replica: one claim at a time, for all streams."""

    def __init__(
        self, driver: Driver, room: LeaseRoom, errands: Errands, known: KnownQueues, clock: Clock, timings: Timings
    ) -> None:
        """Claim for the streams of `room`."""
        self._driver = driver
        self._room = room
        self._errands = errands
        self._known = known
        self._clock = clock
        self._timings = timings
        self._polled_at = float("-inf")

    async def take_turn(self) -> None:
        """Wait until there is room and reason, then claim once. Raises StoreUnavailable."""
        await self._clock.wait(self._room.wake, self._room.holds.patience() if self._room.free() else None)
        self._room.wake.clear()
        self._room.lift_holds()
        now = self._clock.monotonic()
        if now - self._polled_at >= self._timings.idle_poll:
            self._polled_at = now
            for session in self._room.sessions.values():
                session.dry = False
        await self.claim()

    async def claim(self) -> int:
        """Claim jobs for every session that has room and may find some; returns how many came. Raises StoreUnavailable.

        For the claim loop alone, as it serves all sessions: no call of one of them may break it off.
        """
        wishes = self._wishes()
        if not wishes:
            return 0
        for session, claim in wishes:
            session.stirred = False
            session.reserved += claim.limit
            self._room.recount(session)
        self._room.holds.begin()
        try:
            leases = await self._driver.jobs.claim([claim for _, claim in wishes])
        except BaseException:  # cancelled too: what is in a driver's flush is leased all the same
            self._errands.doubt.set()
            for session, claim in wishes:
                session.reserved -= claim.limit
                self._room.recount(session)
                session.looked()
            raise
        groups = dict(self._room.by_session(leases))
        for session, claim in wishes:
            session.reserved -= claim.limit
            taken = groups.get(session, [])
            self._note_claim(session, claim, taken)
            if taken:
                self._room.hand_over(session, taken)
            else:
                self._room.recount(session)
            session.looked()
        self._room.tell_holds()
        return len(leases)

    def _wishes(self) -> list[tuple[LeaseSession, Claim]]:
        wishes: list[tuple[LeaseSession, Claim]] = []
        for session in self._room.sessions.values():
            if not session.dry and session.wants_jobs():
                claim = self._wish(session)
                if claim is not None:
                    wishes.append((session, claim))
                else:  # all its queues are paused or kept back, or nothing is fetched ahead of them
                    session.dry = session.idle_slots() > 0
                    session.looked()
        return wishes

    def _wish(self, session: LeaseSession) -> Claim | None:
        limit = min(session.free, _MOST_PER_CLAIM)
        idle = session.idle_slots()
        if idle > 0:
            limit = min(limit, idle)  # prefetch only when no other session's idle handler could have had the job
        queues, limit = session.stride.next(limit, self._shut(is_prefetch=idle <= 0))
        if not queues:
            return None
        most = session.window.max_bytes
        left = max(1, most - session.bytes - session.reserved_bytes) if most else 0
        return Claim(session.handle, queues, session.hello.kinds, session.barred, limit, left)

    def _shut(self, *, is_prefetch: bool) -> Collection[str]:
        """Return the queues that are not asked.

        Of those with limits nothing is fetched ahead: it would have a place that an idle slot elsewhere could use.
        """
        limited = self._known.limited
        if not limited:
            return self._known.paused
        return self._known.paused.union(limited if is_prefetch else self._room.holds.queues)

    def _note_claim(self, session: LeaseSession, claim: Claim, taken: Sequence[Lease]) -> None:
        short = len(taken) < claim.limit
        if short and taken and claim.max_bytes:
            sizes = [len(lease.envelope) for lease in taken]
            # A job that was too large for the rest of the bytes looks like an empty queue: look again when room comes back.
            session.byte_bound = claim.max_bytes - sum(sizes) < 2 * max(sizes)
        session.dry = short and not session.stirred
        session.stride.charge(claim.queues, [lease.queue for lease in taken], short=short)

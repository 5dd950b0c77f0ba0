"""What time does to streams: renewals, watchdogs, receipts, timeouts, cancels, drains, and leases that go back.

Each `*_turn` is one bounded step that `upkeep` repeats; a turn that fails because of the store is tried again.
"""

from collections.abc import Sequence
from datetime import timedelta

from protojobs_service.application.clock import Clock
from protojobs_service.application.lease import Leasing
from protojobs_service.application.lease_errands import NOT_HELD, Errands, LeaseKey
from protojobs_service.application.lease_room import LeaseRoom
from protojobs_service.application.lease_session import LeaseSession
from protojobs_service.application.lease_sink import DrainCause, Stop, StopCause
from protojobs_service.application.tally import Lost, Tally
from protojobs_service.application.timings import Timings
from protojobs_service.domain.errors import NOT_NOW, Draining, SessionClosed
from protojobs_service.domain.job import Handle
from protojobs_service.domain.outcome import Cancelled, Fail, JobError, Release, ReleaseCause
from protojobs_service.port import Driver

_MISSED_HEARTBEATS = 3
_MOST_PER_RETURN = 5000
_MOST_LEARNT = 500
_COMPARE_SHARE = 100
"""Times what the last look took is the least pause before the next: where an old snapshot is held, all that ended is read again."""
_LONGEST_COMPARE_S = 300.0
"""But no longer than this: it is how what nobody else misses is found."""
_NO_RECEIPT = Release(cause=ReleaseCause.NO_RECEIPT)
_REVOKED = Cancelled()
_TIMED_OUT = Fail(error=JobError(type="TIMEOUT", message="no outcome came within the run timeout"), reason="TIMEOUT")


class LeaseWatch:
    """Watches the streams of this replica."""

    def __init__(
        self,
        driver: Driver,
        leasing: Leasing,
        room: LeaseRoom,
        errands: Errands,
        clock: Clock,
        timings: Timings,
        tally: Tally,
    ) -> None:
        self._driver = driver
        self._leasing = leasing
        self._room = room
        self._errands = errands
        self._clock = clock
        self._timings = timings
        self._tally = tally
        self._unknown: set[LeaseKey] = set()
        self._missing: set[LeaseKey] = set()
        self._looks = 0
        self._compared_in = 0.0

    @property
    def renewal(self) -> float:
        """Return the seconds between two renewals: an eighth of the smallest ttl, at most a second."""
        smallest = min((session.ttl for session in self._room.sessions.values()), default=float("inf"))
        return min(self._timings.renew, smallest / 8)

    async def renew_turn(self) -> None:
        """Renew the sessions that were heard since the last turn; streams whose session is closed end. Raises StoreUnavailable."""
        now = self._clock.monotonic()
        fresh: list[LeaseSession] = []
        for session in list(self._room.sessions.values()):
            if session.is_fresh:
                fresh.append(session)
            elif session.hello.unary and now - session.heard_at > session.ttl:
                self._leasing.forget(session)  # the store lets it expire
        if not fresh:
            return
        for session in fresh:
            session.is_fresh = False
        try:
            closed = await self._driver.sessions.renew([session.handle for session in fresh])
        except NOT_NOW:
            for session in fresh:
                session.is_fresh = True
            raise
        for handle in closed:
            found = self._room.sessions.get(handle)
            if found is not None:
                self._leasing.forget(found)
                found.sink.end(SessionClosed())

    async def sweep_turn(self) -> None:
        """Do what is due by this replica's clock."""
        now = self._clock.monotonic()
        for session in list(self._room.sessions.values()):
            if session.hello.unary:
                continue  # the store's rescue does it, for all replicas
            self._end_if_silent(session, now)
            if not session.gone:
                self._end_if_over(session, now)
            if not session.gone:
                self._sweep_jobs(session, now)

    def _end_if_silent(self, session: LeaseSession, now: float) -> None:
        if now - session.heard_at > _MISSED_HEARTBEATS * session.heartbeat:
            self._leasing.detach(session, None)
            session.sink.end(Draining("no frame came for three heartbeat intervals"))

    def _end_if_over(self, session: LeaseSession, now: float) -> None:
        if session.drain_until is not None and now >= session.drain_until:
            if session.drain_cause is DrainCause.WORKER:
                self._leasing.close_session(session)
            else:
                self._leasing.detach(session, None)
                session.sink.end(None)
        elif session.leaving_until is not None:
            self._leasing.close_if_done(session)
        elif session.drain_until is None and session.drain_at is not None and now >= session.drain_at:
            self._leasing.drain_session(session, DrainCause.AGE, self._timings.drain, timedelta())

    def _sweep_jobs(self, session: LeaseSession, now: float) -> None:
        stalled_at = session.stalled_at
        unreceived = session.unreceived(now)
        if session.stalled_at != stalled_at:
            self._room.recount(session)  # also where all of the frame's jobs are settled, and nothing goes back
        if unreceived:
            self._leasing.take_back(session, unreceived, _NO_RECEIPT)
            self._tally.lost[Lost.RECEIPT] += len(unreceived)
        if session.has_suspects and session.is_held_up(now):
            session.sink.withdraw()
            self._leasing.take_back(session, session.unsent(slow=False), NOT_HELD, tell=False)
            session.withdrawn()
        if session.cancels:
            over = [job_id for job_id, until in session.cancels.items() if now >= until]
            self._leasing.take_back(session, over, _REVOKED)
            self._tally.lost[Lost.CANCEL] += len(over)
        if now >= session.check_at:
            late = session.overdue(now, self._timings.timeout_grace)
            self._leasing.take_back(session, late, _TIMED_OUT, StopCause.TIMEOUT)
            self._tally.lost[Lost.RUN_TIMEOUT] += len(late)

    async def poll_turn(self) -> None:
        """Pass on what others ask of this replica's workers: cancels and drains. Raises StoreUnavailable."""
        streams = [session for session in self._room.sessions.values() if not session.hello.unary]
        await self._learn(streams)
        busy = [session.handle for session in streams if session.flights]
        if busy:
            await self._poll_cancels(busy)
        await self._poll_drains()

    async def _poll_cancels(self, handles: Sequence[Handle]) -> None:
        now = self._clock.monotonic()
        stops: dict[LeaseSession, list[Stop]] = {}
        for request in await self._driver.sessions.cancel_requests(handles):
            session = self._room.sessions.get(request.handle)
            flight = session.flights.get(request.id) if session else None
            if session is None or flight is None or flight.attempt != request.attempt:
                continue
            if request.id not in session.cancels and session.was_sent(flight):
                remaining = max(request.remaining, timedelta())
                session.cancels[request.id] = now + remaining.total_seconds()
                stops.setdefault(session, []).append(Stop(request.id, request.attempt, StopCause.CANCELLED, remaining))
        for session, mine in stops.items():
            session.sink.stop(mine)

    async def _poll_drains(self) -> None:
        handles = list(self._room.sessions)
        for handle, left in await self._driver.sessions.draining(handles) if handles else ():
            session = self._room.sessions.get(handle)
            if session is not None and session.drain_cause is not DrainCause.WORKER:
                self._leasing.drain_session(session, DrainCause.WORKER, max(left, timedelta()), timedelta())

    async def _learn(self, streams: Sequence[LeaseSession]) -> None:
        """Look up what resumed jobs are bound by, some at a time."""
        for session in streams:
            if not session.unlearnt:
                continue
            ids = session.unlearnt[:_MOST_LEARNT]
            records = await self._driver.jobs.get(ids)
            session.learn(record for record in records if record is not None)
            del session.unlearnt[: len(ids)]
            self._room.recount(session)
            return

    async def compare_turn(self) -> None:
        """Wait, then compare: now and then, seldom where it takes long, and twice soon after a claim's answer was lost.

        Raises StoreUnavailable.
        """
        pause = max(self._timings.compare, min(self._compared_in * _COMPARE_SHARE, _LONGEST_COMPARE_S))
        if self._looks == 0 and await self._clock.wait(self._errands.doubt, pause):
            self._errands.doubt.clear()
            self._looks = 2
        if self._looks:
            await self._clock.sleep(self._timings.doubt)
            self._looks -= 1
        await self.compare()

    async def compare(self) -> None:
        """Compare memory with the store: what stands twice in one of them alone is a lost answer. Raises StoreUnavailable.

        A lease that was never delivered goes back; a job that the session has no more is stopped. Twice, because an answer may
        be on its way at the first look.
        """
        sessions = dict(self._room.sessions)
        before: set[LeaseKey] = {
            (handle, job_id, flight.attempt) for handle, session in sessions.items() for job_id, flight in session.flights.items()
        }
        began = self._clock.monotonic()
        try:
            stored: set[LeaseKey] = set(await self._driver.sessions.leases(list(sessions))) if sessions else set()
        finally:
            self._compared_in = self._clock.monotonic() - began
        unknown = {key for key in stored if not self._has(key)}
        missing = {key for key in before - stored if self._has(key)}
        strays = unknown & self._unknown
        if strays:
            self._errands.give_back_strays(strays)
        for handle, job_id, attempt in missing & self._missing:
            session = sessions[handle]
            session.drop(job_id, attempt)
            self._room.recount(session)
            session.sink.stop([Stop(job_id, attempt, StopCause.LEASE_LOST)])
        self._unknown, self._missing = unknown - strays, missing - self._missing

    def _has(self, key: LeaseKey) -> bool:
        session = self._room.sessions.get(key[0])
        flight = session.flights.get(key[1]) if session else None
        return flight is not None and flight.attempt == key[2]

    async def errand_turn(self) -> None:
        """Wait until something goes back or a stream is gone, then tell the store. Raises StoreUnavailable, and forgets nothing."""
        await self._clock.wait(self._errands.asked, None)
        await self.run_errands()

    async def run_errands(self) -> None:
        """Tell the store what goes back and which streams are gone. Raises StoreUnavailable, and forgets nothing."""
        errands = self._errands
        while errands.returns:
            batch = errands.returns[:_MOST_PER_RETURN]
            answers = await self._driver.jobs.settle(batch)
            del errands.returns[: len(batch)]
            lanes = [errands.lanes.pop(item.id, ("", "")) for item in batch]
            self._tally.ended_each(zip(lanes, answers, strict=True))
        while errands.detaches:
            handle, started, grace = errands.detaches[0]
            await self._driver.sessions.detach(handle, started, grace)
            del errands.detaches[0]
        while errands.closings:
            session = errands.closings[0]
            await self._driver.sessions.close(session.handle, session.started())
            del errands.closings[0]
            session.sink.end(None)
        if not errands:
            errands.asked.clear()

    async def close(self) -> None:
        """Let go of every stream: their sessions may resume elsewhere until their ttl. Raises StoreUnavailable."""
        await self._leasing.finish()
        for session in list(self._room.sessions.values()):
            self._leasing.detach(session, None)
            session.sink.end(Draining())
        await self.run_errands()

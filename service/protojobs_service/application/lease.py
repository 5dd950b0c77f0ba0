"""Lease: the streams of this replica, from Hello to their end.

What they have room for is in `lease_room`, what is claimed for them in `lease_claims`, what time does to them in `lease_watch`.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from random import Random

from protojobs_service.application.clock import Clock
from protojobs_service.application.known_queues import KnownQueues
from protojobs_service.application.lease_errands import NOT_HELD, Errands
from protojobs_service.application.lease_room import LeaseRoom
from protojobs_service.application.lease_session import HeldLease, Hello, LeaseSession, Window
from protojobs_service.application.lease_sink import DrainCause, LeaseSink, Stop, StopCause
from protojobs_service.application.timings import Timings
from protojobs_service.application.unbroken import Unbroken
from protojobs_service.domain.errors import Draining, SessionSuperseded
from protojobs_service.domain.job import Handle, JobId
from protojobs_service.domain.outcome import Outcome, Release, ReleaseCause
from protojobs_service.domain.queue_limits import HoldCause
from protojobs_service.port import Driver, Held, Opening, Settlement
from protojobs_service.port import Opened as StoredOpened

_MOVES_PER_S = 500.0
"""So many workers at most are sent elsewhere a second, as far as that takes no longer than `_LONGEST_SPREAD_S`."""
_LONGEST_SPREAD_S = 1.0
_SHUTDOWN = Release(cause=ReleaseCause.SHUTDOWN)
_OPENED_AT_ONCE = 2
"""Sessions that the store opens at once. Of the few connections that leases depend on, renewals and outcomes need the others."""


class Opened:
    """A stream that may begin. kept and lost: which leases of `Hello.held` the session still has."""

    __slots__ = ("kept", "lost", "session")

    def __init__(self, session: LeaseSession, kept: Sequence[HeldLease], lost: Sequence[HeldLease]) -> None:
        self.session = session
        self.kept = kept
        self.lost = lost


class Leasing:
    """All streams of this replica."""

    def __init__(
        self,
        driver: Driver,
        room: LeaseRoom,
        errands: Errands,
        known: KnownQueues,
        clock: Clock,
        rng: Random,
        timings: Timings,
        reconnect_grace: timedelta,
    ) -> None:
        self._driver = driver
        self._room = room
        self._errands = errands
        self._known = known
        self._clock = clock
        self._rng = rng
        self._timings = timings
        self._grace = reconnect_grace
        self._by_secret: dict[bytes, LeaseSession] = {}
        self._accepts = True
        self._empty = asyncio.Event()
        self._empty.set()
        self._unbroken = Unbroken()
        self._openings = asyncio.Semaphore(_OPENED_AT_ONCE)

    @property
    def sessions(self) -> Mapping[Handle, LeaseSession]:
        """Return the streams of this replica."""
        return self._room.sessions

    def find(self, secret: bytes) -> LeaseSession | None:
        """Return the session's stream, if it is here."""
        return self._by_secret.get(secret)

    async def open(self, hello: Hello, sink: LeaseSink) -> Opened:
        """Register a session, or resume it with exactly the leases of `hello.held`; its earlier stream here ends.

        Sessions that begin together take turns; one whose worker goes meanwhile is not opened.
        Raises Draining, SessionSuperseded, StoreUnavailable.
        """
        opening = Opening(
            secret=hello.secret,
            stream_no=hello.stream_no,
            worker=hello.worker,
            sdk=hello.sdk,
            sdk_version=hello.sdk_version,
            queues=tuple(hello.weights),
            kinds=tuple(sorted(hello.kinds or ())),
            slots=hello.slots,
            ttl=hello.ttl,
            held=[Held(held.id, held.attempt, held.started) for held in hello.held],
            unary=hello.unary,
        )
        async with self._openings:
            if not self._accepts:
                raise Draining
            opened = await self._unbroken.run(self._driver.sessions.open(opening), forsaken=self._let_go)
        now = self._clock.monotonic()
        earlier = self._by_secret.get(hello.secret)
        if earlier is not None:
            if earlier.handle > opened.handle:  # opened in the store after this one
                raise SessionSuperseded
            self.forget(earlier)
            earlier.sink.end(None if earlier.drain_until is not None else SessionSuperseded())
        kept_ids = {held.id for held in opened.kept}
        kept = [held for held in hello.held if held.id in kept_ids]
        session = LeaseSession(opened.handle, opened.session, hello, sink, now, self._timings)
        session.resume(kept, now)
        if not hello.unary:
            spread = self._timings.stream_age_spread
            session.drain_at = now + self._timings.stream_age * self._rng.uniform(1 - spread, 1 + spread)
        self._room.add(session)
        self._by_secret[hello.secret] = session
        self._empty.clear()
        if opened.draining:
            try:
                await self._drain_worker(session)
            except BaseException:
                self.lost(session)
                raise
        self._drain_if_closing(session)
        return Opened(session, kept, [held for held in hello.held if held.id not in kept_ids])

    def _let_go(self, opened: StoredOpened) -> None:
        """Note that a session was opened for a stream that had gone meanwhile."""
        self._errands.detach(opened.handle, (), self._grace if self._accepts else None)

    def begin(self, session: LeaseSession) -> None:
        """Let jobs come: the stream has welcomed its worker."""
        for queue in session.hello.weights:
            if queue in self._known.paused:
                session.sink.throttle(queue, HoldCause.PAUSED, None)
        self._room.recount(session)

    def heard(self, session: LeaseSession, frame_seq: int, received_seq: int, started_seq: int) -> None:
        """Take the numbers that every frame of a worker carries; frame_seq: the last that was sent. Raises ProtocolViolation."""
        was_stalled = session.stalled_at is not None
        session.heard(self._clock.monotonic(), frame_seq, received_seq, started_seq)
        if was_stalled:
            self._room.recount(session)

    def set_window(self, session: LeaseSession, window: Window) -> None:
        """Replace what the worker has room for."""
        session.window = window
        session.dry = False
        self._room.recount(session)

    def begin_call(self, session: LeaseSession, most: int) -> None:
        """Let a unary session have up to `most` jobs more, for a call that waits."""
        session.begin_call(most)
        self._room.recount(session)

    def end_call(self, session: LeaseSession) -> None:
        """Note that no call waits any more: what still comes for the session goes back."""
        session.is_idle = True
        self._room.recount(session)

    def goodbye(self, session: LeaseSession, *, finish: bool, deadline: timedelta) -> None:
        """Let the worker leave: with `finish` after what it has begun, for `deadline` at most; else at once."""
        session.leaving_until = self._clock.monotonic() + (deadline.total_seconds() if finish else 0)
        self._room.recount(session)
        if finish:
            session.sink.withdraw()
            self.take_back(session, session.unbegun(), _SHUTDOWN)
        self.close_if_done(session)

    def close_if_done(self, session: LeaseSession) -> None:
        """End a session that is leaving, once it has nothing to finish or its time is over."""
        if session.leaving_until is None or session.gone or session.settling:
            return
        if not session.flights or self._clock.monotonic() >= session.leaving_until:
            self.close_session(session)

    def close_session(self, session: LeaseSession) -> None:
        """Give everything back that the session has, uncounted, and end its stream with OK."""
        self.forget(session)
        self._errands.close(session)

    def lost(self, session: LeaseSession, *, clean: bool = False, slow: bool = False) -> None:
        """Note that the stream is gone. clean: the worker ended it; slow: it did not read. Does nothing the second time.

        What no frame has carried goes back now; the rest has `reconnect_grace` in which the session may resume, anywhere.
        """
        if session.gone:
            return
        if clean and session.leaving_until is not None:
            self.close_session(session)
            return
        # A stream that our own shutdown cuts says nothing about its worker.
        self.detach(session, self._grace if self._accepts else None, slow=slow)

    def detach(self, session: LeaseSession, grace: timedelta | None, *, slow: bool = False) -> None:
        """Let go of a stream; its session expires after `grace`, or None: at its ttl."""
        self.take_back(session, session.unsent(slow=slow), NOT_HELD, tell=False)
        self._errands.detach(session.handle, session.started(), grace)
        self.forget(session)

    def forget(self, session: LeaseSession) -> None:
        """Drop a stream from memory."""
        self._room.remove(session)
        if self._by_secret.get(session.hello.secret) is session:
            del self._by_secret[session.hello.secret]
        if not self._room.sessions:
            self._empty.set()

    def take_back(
        self,
        session: LeaseSession,
        ids: Iterable[JobId],
        outcome: Outcome,
        cause: StopCause = StopCause.LEASE_LOST,
        *,
        tell: bool = True,
    ) -> None:
        """End leases from this side: they are settled with `outcome`, and the worker is told to stop them."""
        stops: list[Stop] = []
        lanes: dict[JobId, tuple[str, str]] = {}
        for job_id in ids:
            flight = session.flights[job_id]
            session.drop(job_id, flight.attempt)
            stops.append(Stop(job_id, flight.attempt, cause))
            lanes[job_id] = (flight.queue, flight.kind)
        if stops:
            self._errands.give_back(
                (Settlement(stop.id, stop.attempt, session.handle, outcome, by_server=True) for stop in stops), lanes
            )
            self._room.recount(session)
            if tell:
                session.sink.stop(stops)

    def drain_session(self, session: LeaseSession, cause: DrainCause, deadline: timedelta, reconnect_after: timedelta) -> None:
        """Tell a worker to go to another stream; nothing is delivered on this one any more."""
        if session.drain_until is None or cause is DrainCause.WORKER:
            session.drain_until = self._clock.monotonic() + deadline.total_seconds()
            session.drain_cause = cause
            self._room.recount(session)
            session.sink.drain(cause, deadline, reconnect_after)

    def drain(self) -> None:
        """Take no new stream and tell all to go elsewhere: this server is shutting down. Settles are still taken."""
        self._accepts = False
        for session in list(self._room.sessions.values()):
            self._drain_if_closing(session)

    async def finish(self) -> None:
        """Return once no call to the store is on its way that may still bring leases or streams."""
        await self._unbroken.finish()

    async def emptied(self, seconds: float) -> bool:
        """Return True once no stream is left, or False after `seconds`."""
        return await self._clock.wait(self._empty, seconds)

    def _drain_if_closing(self, session: LeaseSession) -> None:
        if not self._accepts:
            spread = min(len(self._room.sessions) / _MOVES_PER_S, _LONGEST_SPREAD_S)
            self.drain_session(session, DrainCause.SHUTDOWN, self._timings.drain, timedelta(seconds=self._rng.uniform(0, spread)))

    async def _drain_worker(self, session: LeaseSession) -> None:
        for _, left in await self._driver.sessions.draining([session.handle]):
            self.drain_session(session, DrainCause.WORKER, max(left, timedelta()), timedelta())

    def settled(self, session: LeaseSession, kinds_barred: Collection[str]) -> None:
        """Note that outcomes of a session were stored and its flights dropped."""
        self._room.settled(session)
        if kinds_barred:
            session.barred |= frozenset(kinds_barred)
            self._room.lanes_changed()
        if session.byte_bound:
            session.byte_bound = session.dry = False
        self._room.recount(session)
        self.close_if_done(session)

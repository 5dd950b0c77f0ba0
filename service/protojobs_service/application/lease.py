"""Lease: which jobs go to which stream.

One object knows the room of every stream of this replica. It implements `port.Room`, through which drivers lease jobs in the
statement that stores them, and it claims what waits in the store: woken by arrivals and by freed room, and every quarter second
while there is room and nothing was heard. What time does to streams is in `lease_watch`.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from random import Random

from protojobs_service.application.clock import Clock
from protojobs_service.application.known_queues import KnownQueues
from protojobs_service.application.lease_session import (
    DrainCause,
    HeldLease,
    Hello,
    LeaseSession,
    LeaseSink,
    Stop,
    StopCause,
    Window,
)
from protojobs_service.application.timings import Timings
from protojobs_service.application.unbroken import Unbroken
from protojobs_service.domain.errors import Draining, SessionSuperseded
from protojobs_service.domain.job import Handle, JobId, Lease
from protojobs_service.domain.outcome import Outcome, Release, ReleaseCause
from protojobs_service.port import Claim, Driver, Held, Opening, Settlement
from protojobs_service.port import Opened as StoredOpened

_log = logging.getLogger(__name__)

_NOBODY = Handle(0)
_MOST_PER_CLAIM = 2000
_MOST_LANES = 4096
_NOT_HELD = Release(cause=ReleaseCause.NOT_HELD)
_SHUTDOWN = Release(cause=ReleaseCause.SHUTDOWN)


class Opened:
    """A stream that may begin. kept and lost: which leases of `Hello.held` the session still has."""

    __slots__ = ("kept", "lost", "session")

    def __init__(self, session: LeaseSession, kept: Sequence[HeldLease], lost: Sequence[HeldLease]) -> None:
        self.session = session
        self.kept = kept
        self.lost = lost


class Leasing:
    """All streams of this replica; implements `port.Room`."""

    def __init__(
        self, driver: Driver, known: KnownQueues, clock: Clock, rng: Random, timings: Timings, reconnect_grace: timedelta
    ) -> None:
        self._driver = driver
        self._known = known
        self._clock = clock
        self._rng = rng
        self._timings = timings
        self._grace = reconnect_grace
        self._sessions: dict[Handle, LeaseSession] = {}
        self._by_secret: dict[bytes, LeaseSession] = {}
        self._lanes: dict[tuple[str, str], tuple[LeaseSession, ...]] = {}
        self._turn = 0
        self._free = 0
        self._settled_at = float("-inf")
        self._polled_at = float("-inf")
        self._wake = asyncio.Event()
        self._accepts = True
        self._empty = asyncio.Event()
        self._empty.set()
        self._unbroken = Unbroken()
        self.doubt = asyncio.Event()
        """Set when the answer of a claim or a dispatch was lost: the store may know of leases that this replica does not."""
        self.returns: list[Settlement] = []
        self.detaches: list[tuple[Handle, Sequence[JobId], timedelta | None]] = []
        self.closings: list[LeaseSession] = []
        self.errands = asyncio.Event()
        """Set when there is something in returns, detaches or closings."""
        known.on_pause(self._paused)

    # Streams

    @property
    def sessions(self) -> Mapping[Handle, LeaseSession]:
        """Return the streams of this replica."""
        return self._sessions

    def find(self, secret: bytes) -> LeaseSession | None:
        """Return the session's stream, if it is here."""
        return self._by_secret.get(secret)

    async def open(self, hello: Hello, sink: LeaseSink) -> Opened:
        """Register a session, or resume it with exactly the leases of `hello.held`; its earlier stream here ends.

        Raises Draining, SessionSuperseded, StoreUnavailable.
        """
        if not self._accepts:
            raise Draining
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
        self._sessions[session.handle] = self._by_secret[hello.secret] = session
        self._lanes.clear()
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
        self.detaches.append((opened.handle, (), self._grace if self._accepts else None))
        self.errands.set()

    def begin(self, session: LeaseSession) -> None:
        """Let jobs come: the stream has welcomed its worker."""
        for queue in session.hello.weights:
            if queue in self._known.paused:
                session.sink.throttle(queue)
        self.recount(session)

    def heard(self, session: LeaseSession, frame_seq: int, received_seq: int, started_seq: int) -> None:
        """Take the numbers that every frame of a worker carries; frame_seq: the last that was sent. Raises ProtocolViolation."""
        was_stalled = session.stalled_at is not None
        session.heard(self._clock.monotonic(), frame_seq, received_seq, started_seq)
        if was_stalled:
            self.recount(session)

    def set_window(self, session: LeaseSession, window: Window) -> None:
        """Replace what the worker has room for."""
        session.window = window
        session.dry = False
        self.recount(session)

    def begin_call(self, session: LeaseSession, most: int) -> None:
        """Let a unary session have up to `most` jobs more, for a call that waits."""
        session.begin_call(most)
        self.recount(session)

    def end_call(self, session: LeaseSession) -> None:
        """Note that no call waits any more: what still comes for the session goes back."""
        session.is_idle = True
        self.recount(session)

    def goodbye(self, session: LeaseSession, *, finish: bool, deadline: timedelta) -> None:
        """Let the worker leave: with `finish` after what it has begun, for `deadline` at most; else at once."""
        session.leaving_until = self._clock.monotonic() + (deadline.total_seconds() if finish else 0)
        self.recount(session)
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
        self.closings.append(session)
        self.errands.set()

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
        self.take_back(session, session.unsent(slow=slow), _NOT_HELD, tell=False)
        self.detaches.append((session.handle, session.started(), grace))
        self.forget(session)
        self.errands.set()

    def forget(self, session: LeaseSession) -> None:
        """Drop a stream from memory."""
        session.gone = True
        self.recount(session)
        self._sessions.pop(session.handle, None)
        if self._by_secret.get(session.hello.secret) is session:
            del self._by_secret[session.hello.secret]
        self._lanes.clear()
        if not self._sessions:
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
        for job_id in ids:
            attempt = session.flights[job_id].attempt
            session.drop(job_id, attempt)
            self.returns.append(Settlement(job_id, attempt, session.handle, outcome, by_server=True))
            stops.append(Stop(job_id, attempt, cause))
        if stops:
            self.errands.set()
            self.recount(session)
            if tell:
                session.sink.stop(stops)

    def drain_session(self, session: LeaseSession, cause: DrainCause, deadline: timedelta, reconnect_after: timedelta) -> None:
        """Tell a worker to go to another stream; nothing is delivered on this one any more."""
        if session.drain_until is None or cause is DrainCause.WORKER:
            session.drain_until = self._clock.monotonic() + deadline.total_seconds()
            session.drain_cause = cause
            self.recount(session)
            session.sink.drain(cause, deadline, reconnect_after)

    def drain(self) -> None:
        """Take no new stream and tell all to go elsewhere: this server is shutting down. Settles are still taken."""
        self._accepts = False
        for session in list(self._sessions.values()):
            self._drain_if_closing(session)

    async def finish(self) -> None:
        """Return once no call to the store is on its way that may still bring leases or streams."""
        await self._unbroken.finish()

    async def emptied(self, seconds: float) -> bool:
        """Return True once no stream is left, or False after `seconds`."""
        return await self._clock.wait(self._empty, seconds)

    def _drain_if_closing(self, session: LeaseSession) -> None:
        if not self._accepts:
            self.drain_session(session, DrainCause.SHUTDOWN, self._timings.drain, timedelta(seconds=self._rng.uniform(0, 1)))

    async def _drain_worker(self, session: LeaseSession) -> None:
        for _, left in await self._driver.sessions.draining([session.handle]):
            self.drain_session(session, DrainCause.WORKER, max(left, timedelta()), timedelta())

    # Room

    def free(self) -> int:
        """Return how many more jobs all streams together would take now."""
        return self._free

    def open_window(self, queue: str) -> int:
        """Return how many jobs of one queue the streams of this replica would take now."""
        if queue in self._known.paused:
            return 0
        return sum(session.free for session in self._sessions.values() if queue in session.hello.weights)

    def turning_over(self) -> bool:
        """Tell whether a job was settled a moment ago: room will come back soon."""
        return self._clock.monotonic() - self._settled_at < self._timings.turnover

    def reserve(self, jobs: Sequence[tuple[str, str, int]]) -> list[Handle]:
        """Reserve a place for each (queue, kind, bytes), idle slots first and evenly; 0 where no stream has room for it."""
        self._turn += 1
        lanes: dict[tuple[str, str], Iterator[LeaseSession]] = {}
        touched: set[LeaseSession] = set()
        handles: list[Handle] = []
        places: Iterator[LeaseSession] = iter(())
        last: LeaseSession | None = None
        last_queue = last_kind = ""
        for queue, kind, size in jobs:
            if kind != last_kind or queue != last_queue:  # mostly runs of one lane: half the price of a look-up for each job
                last_queue, last_kind = queue, kind
                places = lanes.get((queue, kind)) or lanes.setdefault((queue, kind), self._places(queue, kind, len(jobs)))
            session = next(places, None)
            if session is None:
                handles.append(_NOBODY)
            else:
                session.reserved += 1
                session.reserved_bytes += size
                if session is not last:
                    touched.add(session)
                    last = session
                handles.append(session.handle)
        for session in touched:
            self.recount(session)
        return handles

    def unreserve(self, places: Sequence[tuple[Handle, int]]) -> None:
        """Give reserved places back."""
        touched: set[LeaseSession] = set()
        for handle, size in places:
            session = self._sessions.get(handle)
            if session is not None:
                session.reserved -= 1
                session.reserved_bytes -= size
                touched.add(session)
        for session in touched:
            self.recount(session)

    def deliver(self, leases: Sequence[Lease]) -> None:
        """Hand over leases of reserved places; those of streams that are gone go back at once."""
        for session, mine in self._by_session(leases):
            session.reserved -= len(mine)
            session.reserved_bytes -= sum(len(lease.envelope) for lease in mine)
            self._hand_over(session, mine)

    def arrived(self, queues: Collection[str]) -> None:
        """Look again for sessions that read these queues."""
        for session in self._sessions.values():
            if not session.stirred or session.dry:
                weights = session.hello.weights
                for queue in queues:
                    if queue in weights:
                        session.stirred = True
                        session.dry = False
                        if session.free:
                            self._wake.set()
                        break

    def lanes_changed(self) -> None:
        """Forget which sessions can run what, after a session has changed what it reads or can run."""
        self._lanes.clear()

    def recount(self, session: LeaseSession) -> None:
        """Take a session's room anew, after anything that may have changed it."""
        free = session.room()
        self._free += free - session.free
        session.free = free
        if not session.dry and session.wants_jobs():
            self._wake.set()

    def _places(self, queue: str, kind: str, jobs: int) -> Iterator[LeaseSession]:
        """Yield a session for each further job of a lane; the caller counts it as reserved before it asks again."""
        sessions = [session for session in self._lane(queue, kind) if session.free]
        if not sessions:
            return
        first = self._turn % len(sessions)
        sessions = sessions[first:] + sessions[:first]
        chunk = -(-jobs // (4 * len(sessions)))
        for idle_only in (True, False):
            found = True
            while found:
                found = False
                for session in sessions:
                    room = min(session.room(), session.idle_slots()) if idle_only else session.room()
                    full, most = session.reserved + room, session.window.max_bytes
                    for _ in range(min(chunk, room)):
                        # Looked at each time: other lanes of the batch reserve between two steps.
                        if session.reserved >= full or (most and session.bytes + session.reserved_bytes >= most):
                            break
                        found = True
                        yield session

    def _lane(self, queue: str, kind: str) -> tuple[LeaseSession, ...]:
        lane = self._lanes.get((queue, kind))
        if lane is None:
            if len(self._lanes) >= _MOST_LANES:
                self._lanes.clear()
            lane = ()
            if queue not in self._known.paused:
                lane = tuple(session for session in self._sessions.values() if session.may_run(queue, kind))
            self._lanes[queue, kind] = lane
        return lane

    def _by_session(self, leases: Sequence[Lease]) -> list[tuple[LeaseSession, list[Lease]]]:
        groups: dict[Handle, list[Lease]] = {}
        for lease in leases:
            group = groups.get(lease.handle)
            if group is None:
                groups[lease.handle] = [lease]
            else:
                group.append(lease)
        found: list[tuple[LeaseSession, list[Lease]]] = []
        for handle, group in groups.items():
            session = self._sessions.get(handle)
            if session is None:
                self._send_back(group)
            else:
                found.append((session, group))
        return found

    def _hand_over(self, session: LeaseSession, leases: list[Lease]) -> None:
        if session.drain_until is not None or session.leaving_until is not None or session.is_idle:
            self._send_back(leases)
        else:
            session.take(leases, self._clock.monotonic())
            session.sink.deliver(leases)
        self.recount(session)

    def _send_back(self, leases: Iterable[Lease]) -> None:
        self.returns.extend(Settlement(lease.id, lease.attempt, lease.handle, _NOT_HELD, by_server=True) for lease in leases)
        self.errands.set()

    def _paused(self, paused: Collection[str], resumed: Collection[str]) -> None:
        self._lanes.clear()
        for session in self._sessions.values():
            for queue in paused:
                if queue in session.hello.weights:
                    session.sink.throttle(queue)
        self.arrived(resumed)

    # Settles

    def settled(self, session: LeaseSession, kinds_barred: Collection[str]) -> None:
        """Note that outcomes of a session were stored and its flights dropped."""
        self._settled_at = self._clock.monotonic()
        if kinds_barred:
            session.barred |= frozenset(kinds_barred)
            self._lanes.clear()
        if session.byte_bound:
            session.byte_bound = session.dry = False
        self.recount(session)
        self.close_if_done(session)

    # Claims

    async def claim_turn(self) -> None:
        """Wait until there is room and reason, then claim once. Raises StoreUnavailable."""
        await self._clock.wait(self._wake, self._timings.idle_poll if self._free else None)
        self._wake.clear()
        now = self._clock.monotonic()
        if now - self._polled_at >= self._timings.idle_poll:
            self._polled_at = now
            for session in self._sessions.values():
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
            self.recount(session)
        try:
            leases = await self._driver.jobs.claim([claim for _, claim in wishes])
        except BaseException:  # cancelled too: what is in a driver's flush is leased all the same
            self.doubt.set()
            for session, claim in wishes:
                session.reserved -= claim.limit
                self.recount(session)
                session.looked()
            raise
        groups = dict(self._by_session(leases))
        for session, claim in wishes:
            session.reserved -= claim.limit
            taken = groups.get(session, [])
            self._note_claim(session, claim, taken)
            if taken:
                self._hand_over(session, taken)
            else:
                self.recount(session)
            session.looked()
        return len(leases)

    def _wishes(self) -> list[tuple[LeaseSession, Claim]]:
        wishes: list[tuple[LeaseSession, Claim]] = []
        for session in self._sessions.values():
            if not session.dry and session.wants_jobs():
                claim = self._wish(session)
                if claim is not None:
                    wishes.append((session, claim))
                else:  # all its queues are paused
                    session.dry = True
                    session.looked()
        return wishes

    def _wish(self, session: LeaseSession) -> Claim | None:
        limit = min(session.free, _MOST_PER_CLAIM)
        idle = session.idle_slots()
        if idle > 0:
            limit = min(limit, idle)  # prefetch only when no other session's idle handler could have had the job
        queues, limit = session.stride.next(limit, self._known.paused)
        if not queues:
            return None
        most = session.window.max_bytes
        left = max(1, most - session.bytes - session.reserved_bytes) if most else 0
        return Claim(session.handle, queues, session.hello.kinds, session.barred, limit, left)

    def _note_claim(self, session: LeaseSession, claim: Claim, taken: Sequence[Lease]) -> None:
        short = len(taken) < claim.limit
        if short and taken and claim.max_bytes:
            sizes = [len(lease.envelope) for lease in taken]
            # A job that was too large for the rest of the bytes looks like an empty queue: look again when room comes back.
            session.byte_bound = claim.max_bytes - sum(sizes) < 2 * max(sizes)
        session.dry = short and not session.stirred
        session.stride.charge(claim.queues, [lease.queue for lease in taken], short=short)

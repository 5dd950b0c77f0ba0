"""The room of all streams of this replica: who can take a job of a lane now, and who gets those that were leased.

Implements `port.Room`, through which drivers lease jobs in the statement that stores them.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence

from protojobs_service.application.clock import Clock
from protojobs_service.application.known_queues import KnownQueues
from protojobs_service.application.lease_errands import Errands
from protojobs_service.application.lease_session import LeaseSession
from protojobs_service.application.timings import Timings
from protojobs_service.domain.job import Handle, Lease

_NOBODY = Handle(0)
_MOST_LANES = 4096


class LeaseRoom:
    """Places for jobs, by stream; every change of a stream's room ends in `recount`."""

    def __init__(self, known: KnownQueues, clock: Clock, timings: Timings, errands: Errands) -> None:
        """Begin without streams."""
        self._known = known
        self._clock = clock
        self._timings = timings
        self._errands = errands
        self.sessions: dict[Handle, LeaseSession] = {}
        self.wake = asyncio.Event()
        """Set when a stream has room and may find jobs."""
        self._lanes: dict[tuple[str, str], tuple[LeaseSession, ...]] = {}
        self._turn = 0
        self._free = 0
        self._settled_at = float("-inf")
        known.on_pause(self._paused)

    def add(self, session: LeaseSession) -> None:
        """Let a stream have jobs."""
        self.sessions[session.handle] = session
        self._lanes.clear()

    def remove(self, session: LeaseSession) -> None:
        """Let a stream have no jobs any more."""
        session.gone = True
        self.recount(session)
        self.sessions.pop(session.handle, None)
        self._lanes.clear()

    def free(self) -> int:
        """Return how many more jobs all streams together would take now."""
        return self._free

    def open_window(self, queue: str) -> int:
        """Return how many jobs of one queue the streams of this replica would take now."""
        if queue in self._known.paused:
            return 0
        return sum(session.free for session in self.sessions.values() if queue in session.hello.weights)

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
            session = self.sessions.get(handle)
            if session is not None:
                session.reserved -= 1
                session.reserved_bytes -= size
                touched.add(session)
        for session in touched:
            self.recount(session)

    def deliver(self, leases: Sequence[Lease]) -> None:
        """Hand over leases of reserved places; those of streams that are gone go back at once."""
        for session, mine in self.by_session(leases):
            session.reserved -= len(mine)
            session.reserved_bytes -= sum(len(lease.envelope) for lease in mine)
            self.hand_over(session, mine)

    def arrived(self, queues: Collection[str]) -> None:
        """Look again for sessions that read these queues."""
        for session in self.sessions.values():
            if not session.stirred or session.dry:
                weights = session.hello.weights
                for queue in queues:
                    if queue in weights:
                        session.stirred = True
                        session.dry = False
                        if session.free:
                            self.wake.set()
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
            self.wake.set()

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
                lane = tuple(session for session in self.sessions.values() if session.may_run(queue, kind))
            self._lanes[queue, kind] = lane
        return lane

    def by_session(self, leases: Sequence[Lease]) -> list[tuple[LeaseSession, list[Lease]]]:
        groups: dict[Handle, list[Lease]] = {}
        for lease in leases:
            group = groups.get(lease.handle)
            if group is None:
                groups[lease.handle] = [lease]
            else:
                group.append(lease)
        found: list[tuple[LeaseSession, list[Lease]]] = []
        for handle, group in groups.items():
            session = self.sessions.get(handle)
            if session is None:
                self._errands.send_back(group)
            else:
                found.append((session, group))
        return found

    def hand_over(self, session: LeaseSession, leases: list[Lease]) -> None:
        if session.drain_until is not None or session.leaving_until is not None or session.is_idle:
            self._errands.send_back(leases)
        else:
            session.take(leases, self._clock.monotonic())
            session.sink.deliver(leases)
        self.recount(session)

    def _paused(self, paused: Collection[str], resumed: Collection[str]) -> None:
        self._lanes.clear()
        for session in self.sessions.values():
            for queue in paused:
                if queue in session.hello.weights:
                    session.sink.throttle(queue)
        self.arrived(resumed)

    def settled(self) -> None:
        """Note that a job was settled: room will come back soon."""
        self._settled_at = self._clock.monotonic()

"""The room of all streams of this replica: who can take a job of a lane now, and who gets those that were leased.

Implements `port.Room`, through which drivers lease jobs in the statement that stores them.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta

from protojobs_service.application.clock import Clock
from protojobs_service.application.holds import Holds
from protojobs_service.application.known_queues import KnownQueues
from protojobs_service.application.lease_errands import Errands
from protojobs_service.application.lease_session import LeaseSession
from protojobs_service.application.timings import Timings
from protojobs_service.domain.job import Handle, Lease
from protojobs_service.domain.queue_limits import Hold, HoldCause

_NOBODY = Handle(0)
_MOST_LANES = 4096
_SHARES = 32
"""Of a stream's slots so large a part may be filled at once: a few jobs cost one frame then, not one of each stream."""


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
        self.holds = Holds(clock, timings)
        known.on_pause(self._paused)
        known.on_limits(self._limits_changed)

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

    def open_windows(self) -> Mapping[str, int]:
        """Return by queue how many of its jobs the streams of this replica would take now; those that take none are left out."""
        found: Counter[str] = Counter()
        for session in self.sessions.values():
            if session.free > 0:
                for queue in session.hello.weights:
                    found[queue] += session.free
        for queue in self._known.paused:
            found.pop(queue, None)
        return found

    def turning_over(self) -> bool:
        """Tell whether a job was settled a moment ago: room will come back soon."""
        return self._clock.monotonic() - self._settled_at < self._timings.turnover

    def reserve(self, jobs: Sequence[tuple[str, str, int]]) -> list[Handle]:
        """Reserve a place for each (queue, kind, bytes), idle slots first, in lots; 0 where no stream has room for it."""
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
        # The idler of two, each pair in its turn: a few jobs are one lot for one of them, and nobody may always get the larger lot.
        # (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001)
        pair = self._turn % len(sessions), (self._turn + len(sessions) // 2) % len(sessions)
        first = max(pair, key=lambda place: sessions[place].idle_slots())
        sessions = sessions[first:] + sessions[:first]
        chunk = -(-jobs // (4 * len(sessions)))
        for idle_only in (True, False):
            found = True
            while found:
                found = False
                for session in sessions:
                    room = min(session.room(), session.idle_slots()) if idle_only else session.room()
                    full, most = session.reserved + room, session.window.max_bytes
                    for _ in range(min(max(chunk, session.slots // _SHARES), room)):
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
            if queue not in self._known.paused and queue not in self._known.limited:
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
        leases = self._errands.in_time(leases)
        if session.drain_until is not None or session.leaving_until is not None or session.is_idle:
            self._errands.send_back(leases)
        else:
            session.take(leases, self._clock.monotonic())
            if self._known.limited:
                session.counted.update((lease.id, lease.queue) for lease in leases if lease.queue in self._known.limited)
            session.sink.deliver(leases)
        self.recount(session)

    def _paused(self, paused: Collection[str], resumed: Collection[str]) -> None:
        self._lanes.clear()
        for session in self.sessions.values():
            for queue in paused:
                if queue in session.hello.weights:
                    session.sink.throttle(queue, HoldCause.PAUSED, None)
        self.arrived(resumed)

    def held_back(self, holds: Mapping[str, Hold]) -> None:
        """Ask no more for these queues until that may be of use."""
        for queue, hold in holds.items():
            self.holds.note(queue, hold)

    def tell_holds(self) -> None:
        """Tell the workers that a limit leaves idle which one it is; again after a while, or when it is another one."""
        now = self._clock.monotonic()
        for queue, hold in self.holds.untold().items():
            until = None if hold.wait_us is None else timedelta(microseconds=hold.wait_us)
            for session in self.sessions.values():
                if queue in session.hello.weights and session.free > 0 and session.idle_slots() > 0:
                    cause, told_at = session.throttled.get(queue, (None, 0.0))
                    if cause is not hold.cause or now - told_at >= self._timings.throttle:
                        session.throttled[queue] = (hold.cause, now)
                        session.sink.throttle(queue, hold.cause, until)

    def lift_holds(self) -> None:
        """Ask again for the queues whose time is over."""
        due = self.holds.lift_due()
        if due:
            self.arrived(due)

    def _limits_changed(self, queues: Collection[str]) -> None:
        self._lanes.clear()
        self.holds.lift(queues)
        self.arrived(queues)

    def settled(self, session: LeaseSession) -> None:
        """Note that jobs of a stream were settled: room will come back soon, and limits may let others go."""
        self._settled_at = self._clock.monotonic()
        if self._known.limited and not session.hello.weights.keys().isdisjoint(self._known.limited):
            session.dry = False  # of queues with limits nothing was fetched ahead
        if session.freed:
            freed, session.freed = session.freed, set()
            self.holds.lift(freed)
            self.arrived(freed)

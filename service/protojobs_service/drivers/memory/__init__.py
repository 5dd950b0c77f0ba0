"""The reference driver: everything in the dictionaries and heaps of one process. Nothing survives the process.

Read it as the specification of every driver: `store` first, then `jobs`, `sessions`, `queues`, `schedules`, `events`, `access`,
`side_store`.
No method awaits anything, so each is one transaction; conditional writes of other drivers are plain ifs here. It never claims at
insert, it only tells Room.arrived.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from random import Random

from protojobs_service.domain.bounds import ID_WINDOW, MAX_LANES, MAX_QUEUES, MAX_SCHEDULES
from protojobs_service.drivers.memory.access import MemoryAuditLog, MemoryTokens
from protojobs_service.drivers.memory.events import MemoryEvents
from protojobs_service.drivers.memory.jobs import MemoryJobs
from protojobs_service.drivers.memory.queues import MemoryQueues
from protojobs_service.drivers.memory.schedules import MemorySchedules
from protojobs_service.drivers.memory.sessions import MemorySessions
from protojobs_service.drivers.memory.side_store import MemorySideStore
from protojobs_service.drivers.memory.store import Store
from protojobs_service.port.access import AuditLog, Tokens
from protojobs_service.port.driver import (
    NO_FOLLOW_UPS,
    NO_NUMBERS,
    NOBODY,
    Capability,
    Fingerprint,
    FollowUps,
    Numbers,
    Pool,
    Room,
    Witness,
)
from protojobs_service.port.events import Events
from protojobs_service.port.jobs import Jobs
from protojobs_service.port.queues import Queues
from protojobs_service.port.schedules import Schedules
from protojobs_service.port.sessions import Sessions
from protojobs_service.port.side_store import SideStore

__all__ = ["MemoryDriver"]


class MemoryDriver:
    """Keeps everything in this process, on one event loop. clock: aware times in UTC; rng: for the jitter of backoffs."""

    def __init__(
        self,
        *,
        fingerprint: Fingerprint,
        clock: Callable[[], datetime],
        rng: Random,
        max_queues: int = MAX_QUEUES,
        max_lanes: int = MAX_LANES,
        max_schedules: int = MAX_SCHEDULES,
    ) -> None:
        self._store = Store(fingerprint, clock, rng, max_queues, max_lanes)
        self._jobs, self._queues = MemoryJobs(self._store), MemoryQueues(self._store)
        self._sessions = MemorySessions(self._store, self._jobs)
        self._events = MemoryEvents(self._store)
        self._schedules = MemorySchedules(self._store, self._jobs, max_schedules)
        self._tokens, self._audit = MemoryTokens(clock), MemoryAuditLog(clock)
        self._side_store = MemorySideStore()

    @property
    def name(self) -> str:
        """Return memory."""
        return "memory"

    @property
    def jobs(self) -> Jobs:
        return self._jobs

    @property
    def sessions(self) -> Sessions:
        return self._sessions

    @property
    def queues(self) -> Queues:
        return self._queues

    @property
    def schedules(self) -> Schedules:
        return self._schedules

    @property
    def events(self) -> Events:
        return self._events

    @property
    def tokens(self) -> Tokens:
        return self._tokens

    @property
    def audit(self) -> AuditLog:
        return self._audit

    @property
    def side_store(self) -> SideStore:
        return self._side_store

    def capabilities(self) -> Sequence[Capability]:
        why = "jobs live in the memory of one process"
        return [Capability(name=name, available=False, reason=why) for name in ("durable", "replicas")]

    def pools(self) -> Mapping[str, Pool]:
        """Return nothing: it has no connections."""
        return {}

    def numbers(self) -> Numbers:
        return NO_NUMBERS

    async def open(
        self,
        room: Room,
        follow_ups: FollowUps = NO_FOLLOW_UPS,
        witness: Witness = NOBODY,  # noqa: ARG002 # it has no flushes, and does not note since when a job is claimable
    ) -> None:
        self._store.room, self._store.follow_ups = room, follow_ups
        self._store.beat_at = self._store.now()

    async def close(self) -> None:
        self._store.room = None

    async def ping(self) -> datetime:
        return self._store.now()

    async def maintain(self) -> None:
        """Forget sessions that ended so long ago that no worker settles for them any more."""
        store, limit = self._store, self._store.now() - ID_WINDOW
        old = {session.number for session in store.sessions.values() if session.closed and session.heartbeat_at < limit}
        store.sessions = {key: session for key, session in store.sessions.items() if session.number not in old}
        store.handles = {handle: session for handle, session in store.handles.items() if session.number not in old}
        store.running = {handle: jobs for handle, jobs in store.running.items() if handle in store.handles}

"""A driver as the composition root sees it, and what it gets from above."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from protojobs_service.domain.job import Handle, JobId, Lease, NewJob
from protojobs_service.domain.queue_limits import Hold
from protojobs_service.domain.unique import Unique
from protojobs_service.port.access import AuditLog, Tokens
from protojobs_service.port.events import Events
from protojobs_service.port.jobs import Jobs
from protojobs_service.port.queues import Queues
from protojobs_service.port.schedules import Schedules
from protojobs_service.port.sessions import Sessions
from protojobs_service.port.side_store import SideStore

Fingerprint = Callable[[str, str, bytes], bytes]
"""(queue, kind, envelope) -> 16 bytes over queue, kind, content type and payload: tells a retried dispatch from a reused id.
Handed to the driver because only the wire can read an envelope."""

UniqueOf = Callable[[bytes], Unique | None]
"""envelope -> the unique key that its job asked for, so that Retry can take it again. Handed to the driver as `Fingerprint` is."""


def no_unique(_envelope: bytes) -> None:
    """Say that no envelope names a key: for stores of jobs that have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """A feature that drivers may lack; `reason` says why where it is not available."""

    name: str
    available: bool
    reason: str = ""


class Room(Protocol):
    """What this replica's workers have room for; implemented by the use case `lease`, called by drivers on the event loop.

    With it a driver can claim jobs in the statement that stores them. A driver that does not claim at insert only calls `arrived`.
    """

    def free(self) -> int:
        """Return how many more jobs all sessions together would take now."""
        ...

    def turning_over(self) -> bool:
        """Tell whether a job was settled in the last 50 ms: room will come back soon."""
        ...

    def reserve(self, jobs: Sequence[tuple[str, str, int]]) -> list[Handle]:
        """Reserve one place for each (queue, kind, bytes) that a session has room for; 0 where none has.

        Skips queues that are paused, or whose leases are counted. Each reserved place must be given back by exactly one of
        `deliver` and `unreserve`.
        """
        ...

    def deliver(self, leases: Sequence[Lease]) -> None:
        """Hand over committed leases of reserved places; their sessions deliver them (or return them when gone)."""
        ...

    def unreserve(self, places: Sequence[tuple[Handle, int]]) -> None:
        """Give reserved places back, as (handle, bytes): the jobs existed, or the statement failed."""
        ...

    def arrived(self, queues: Collection[str]) -> None:
        """Tell that jobs of these queues have become claimable. May tell it again of jobs that were told of before."""
        ...

    def held_back(self, holds: Mapping[str, Hold]) -> None:
        """Tell that the limits of these queues ended a claim that had places left: it is of no use to ask again at once."""
        ...


class Pool(NamedTuple):
    """Connections of one kind. waiting: operations that have none yet."""

    size: int
    used: int
    waiting: int


class Numbers(NamedTuple):
    """What a driver tells of itself beside its pools, by names of its own, a handful.

    levels: as they are now. counts: since it was opened, never fewer.
    """

    levels: Mapping[str, float]
    counts: Mapping[str, float]


NO_NUMBERS = Numbers({}, {})
"""Of a driver of which its pools tell everything."""


class Witness(Protocol):
    """Hears how a driver works. Called on the event loop, a bounded number of times per flush, whatever that holds."""

    def flushed(self, pipeline: str, jobs: int) -> None:
        """Note that so many jobs have shared one commit."""
        ...

    def waited(self, queue: str, seconds: float) -> None:
        """Note how long one job had been claimable when it was leased; told of some jobs of a claim, evenly spread."""
        ...


class _Nobody(Witness):
    def flushed(self, pipeline: str, jobs: int) -> None:
        pass

    def waited(self, queue: str, seconds: float) -> None:
        pass


NOBODY: Witness = _Nobody()
"""Of a driver that nobody measures."""


class FollowUps(Protocol):
    """Reads which jobs an envelope lets follow; implemented by the use case, because only the wire can read an envelope.

    Called on any thread, within the transaction that ends the job.
    """

    def has_any(self, envelope: bytes) -> bool:
        """Tell whether the envelope lets any job follow."""
        ...

    def of(self, parent: JobId, attempt: int, envelope: bytes, *, completed: bool) -> Sequence[NewJob]:
        """Return the jobs to store with the completion of this attempt, or with its final failure.

        Those that no longer are within the bounds are left out: what ended the job holds.
        """
        ...


class _NoFollowUps(FollowUps):
    def has_any(self, envelope: bytes) -> bool:  # noqa: ARG002 - as the protocol has it
        return False

    def of(self, parent: JobId, attempt: int, envelope: bytes, *, completed: bool) -> Sequence[NewJob]:  # noqa: ARG002
        return ()


NO_FOLLOW_UPS: FollowUps = _NoFollowUps()
"""Of a driver whose envelopes nobody reads."""


class Driver(Protocol):
    """One store. `open` before anything else; `close` ends its threads and connections."""

    @property
    def name(self) -> str:
        """Return memory, sqlite, postgres, ..."""
        ...

    @property
    def jobs(self) -> Jobs: ...

    @property
    def sessions(self) -> Sessions: ...

    @property
    def queues(self) -> Queues: ...

    @property
    def schedules(self) -> Schedules: ...

    @property
    def events(self) -> Events: ...

    @property
    def tokens(self) -> Tokens: ...

    @property
    def audit(self) -> AuditLog: ...

    @property
    def side_store(self) -> SideStore:
        """Return where a driver that is built over this one keeps facts of its own."""
        ...

    def capabilities(self) -> Sequence[Capability]:
        """Return every capability of the contract, available or with the reason why not."""
        ...

    def pools(self) -> Mapping[str, Pool]:
        """Return its pools of connections by name, as they are now; none where it has no connections."""
        ...

    def numbers(self) -> Numbers:
        """Return what it tells of itself besides; asks nobody."""
        ...

    async def open(self, room: Room, follow_ups: FollowUps = NO_FOLLOW_UPS, witness: Witness = NOBODY) -> None:
        """Connect, check the schema and the durability settings. Raises StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Finish what is in flight, then disconnect. Idempotent."""
        ...

    async def ping(self) -> datetime:
        """Return the store's clock. Raises StoreUnavailable."""
        ...

    async def maintain(self) -> None:
        """Prepare what must exist ahead (day partitions) and clean what is left over. Bounded; safe on every replica; hourly."""
        ...

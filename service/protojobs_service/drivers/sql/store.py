"""What a SQL dialect must do itself: transactions for the cold operations, and the three hot statements.

Everything else of the driver is written once over this: cold operations are plain functions of a SQLAlchemy `Connection`, run by
`Store.run` in one transaction. The hot statements take columns, not objects: a batch of 500 jobs is seven lists.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from sqlalchemy import ColumnElement, Connection

from protojobs_service.drivers.sql.tables import Tables
from protojobs_service.port.driver import Pool

T = TypeVar("T")


class Rows(NamedTuple):
    """Jobs to insert, as columns of equal length; ids are unique within a flush.

    handles: for each row 0, or the place that Room reserved; None when no row has one. base: position of the first row; row i has
    base + i. policies: None when no row has one. accepted: microseconds, the creation time of rows for which it is over; None when
    no row has one.
    Only jobs that are claimable at once: delayed, labelled and expiring ones are stored by a cold operation.
    """

    ids: list[bytes]
    lanes: list[int]
    bands: list[int]
    envelopes: list[bytes]
    policies: list[str | None] | None
    handles: list[int] | None
    base: int
    accepted: list[int | None] | None = None


class Inserted(NamedTuple):
    """created: ordinals of the stored rows; None means all. unplaced: ordinals stored PENDING, as the handle given was closed."""

    created: Sequence[int] | None
    unplaced: Sequence[int]


class Probe(NamedTuple):
    """One place to look for jobs: rows of (lane, band) at or above `low`, in order of position."""

    lane: int
    band: int
    low: int


class ClaimGroup(NamedTuple):
    """Sessions that may run the same lanes: probes in the order to try, and one entry per free place."""

    probes: Sequence[Probe]
    places: Sequence[int]
    max_bytes: int


class Claimed(NamedTuple):
    """One leased row; policy and envelope as stored."""

    handle: int
    id: bytes
    attempt: int
    lane: int
    band: int
    position: int
    failures: int
    flags: int
    policy: str | None
    envelope: bytes


class Completions(NamedTuple):
    """Plain completions: (id, attempt, handle) as columns."""

    ids: list[bytes]
    attempts: list[int]
    handles: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a store is set up. test_clock: tests only, microseconds added to the store's clock (a mutable one-element list)."""

    url: str
    schema: str | None = None
    prefix: str = ""
    pool_size: int = 10
    test_clock: list[int] | None = None


class Store(Protocol):
    """One dialect. Raises nothing but domain.errors (foreign ones are translated in `errors`)."""

    name: str
    tables: Tables
    id_range: tuple[bytes, bytes]
    """[low, high) of ids that can be stored now; the days of others have no partition. `maintain` moves it on."""

    async def open(self) -> None:
        """Connect; check durability (fsync, synchronous) and schema version."""
        ...

    async def close(self) -> None:
        """Finish what is in flight and disconnect."""
        ...

    def now(self) -> ColumnElement[int]:
        """Return the store's clock in microseconds as an expression for cold statements; constant within a transaction is fine."""
        ...

    def pools(self) -> Mapping[str, Pool]:
        """Return its pools of connections by name, as they are now."""
        ...

    async def run(self, operation: Callable[[Connection], T], *, write: bool = True, vital: bool = False) -> T:
        """Run a cold operation in one transaction (a read: in one snapshot) and return its value after the commit.

        vital: leases depend on it; it does not wait for a connection behind what is not. Deadlocks and serialisation failures are
        retried (<= 5, jitter); so operations must be free of effects outside the store.
        """
        ...

    async def ask(self, operation: Callable[[Connection], T], *, vital: bool = False) -> T:
        """Run a short read without a transaction, so that asking often costs little.

        Each of its statements sees what was committed when it began: an operation of several must not need one snapshot.
        vital: see `run`.
        """
        ...

    async def scan(self, operation: Callable[[Connection], T]) -> T:
        """Run a read that takes long, of many short statements, in one snapshot; it keeps nobody waiting."""
        ...

    async def dispatch(self, rows: Rows, slot: int, *, aside: bool = False) -> Inserted:
        """Insert job + ready (or running) + counters in one statement or transaction; known ids are left alone.

        aside: keep none waiting that is not, where the store can do two things at once.
        """
        ...

    async def claim(self, groups: Sequence[ClaimGroup], slot: int) -> list[Claimed]:
        """Move ready rows to running under attempt + 1, skipping rows that others hold and handles that are closed.

        The answer is in the order of the probes. A lane may stand in one group only.
        """
        ...

    async def complete(self, items: Completions, slot: int) -> Sequence[int] | None:
        """End plain completions: delete running under the compare-and-set, append done, counters, stat_minute.

        Returns the ordinals that were applied; None means all. The handle given must be the one on the row.
        """
        ...

    async def maintain(self) -> None:
        """Make day partitions -8..+3 (PostgreSQL) and drop empty old ones."""
        ...

    def announce(self, lanes: Collection[int]) -> None:
        """Tell other replicas, without promise, that jobs of these lanes have become claimable. `dispatch` does so itself."""
        ...

    async def listen(self, arrived: Callable[[Collection[int]], None]) -> None:
        """Exchange such hints with other replicas until cancelled; returns at once where there are none. Own ones are not heard."""
        ...

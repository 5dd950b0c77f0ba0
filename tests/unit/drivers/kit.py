"""What the tests of the stores share: jobs by the handful, handles, and a recount of what the counters say."""

import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from protojobs_service.drivers.sql.cold.base import WRITERS, Cold, Replica
from protojobs_service.drivers.sql.migrate import upgrade
from protojobs_service.drivers.sql.mysql import MysqlStore
from protojobs_service.drivers.sql.postgres import PostgresStore
from protojobs_service.drivers.sql.sqlite import SqliteStore
from protojobs_service.drivers.sql.store import Claimed, ClaimGroup, Completions, Options, Probe, Rows, Store
from sqlalchemy import Connection, func, insert, make_url, select, update

LANE, BAND = 1, 5
SERVERS = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("postgres", "mariadb")]
"""Parameters of fixtures that need a store with more than one client."""

PENDING, RUNNING, COMPLETED = 2, 3, 5


def new_id(ahead_ms: int = 0) -> bytes:
    """Return a UUIDv7 of now, or of another time."""
    return (time.time_ns() // 1_000_000 + ahead_ms).to_bytes(6, "big") + b"\x70" + os.urandom(9)


def new_ids(n: int) -> list[bytes]:
    """Return n ids."""
    return [new_id() for _ in range(n)]


def rows(
    ids: Sequence[bytes],
    *,
    lane: int = LANE,
    band: int = BAND,
    base: int = 1000,
    handles: Sequence[int] | None = None,
    policies: Sequence[str | None] | None = None,
    accepted: Sequence[int | None] | None = None,
    size: int = 20,
) -> Rows:
    """Return a flush of these ids, in one lane and band."""
    envelopes = [job_id.ljust(size, b".") for job_id in ids]
    n = len(ids)
    policies = None if policies is None else list(policies)
    handles = None if handles is None else list(handles)
    accepted = None if accepted is None else list(accepted)
    return Rows(list(ids), [lane] * n, [band] * n, envelopes, policies, handles, base, accepted)


def group(*places: int, lanes: Sequence[int] = (LANE,), low: int = 0, max_bytes: int = 0) -> ClaimGroup:
    """Return a claim of these places over lanes, all in one band."""
    return ClaimGroup([Probe(lane, BAND, low) for lane in lanes], places, max_bytes)


def completions(claimed: Sequence[Claimed]) -> Completions:
    """Return the plain completions of these leases."""
    return Completions([c.id for c in claimed], [c.attempt for c in claimed], [c.handle for c in claimed])


@dataclass(slots=True)
class Ground:
    """An opened store with its tables, and the clock of the test."""

    store: Store
    clock: list[int]

    @property
    def cold(self) -> Cold:
        """Return what cold operations work with, as writer of all that no pipeline writes."""
        store = self.store
        return Cold(tables=store.tables, now=store.now, replica=Replica("r"), writer=WRITERS - 1, fingerprint=lambda *_: b"")

    async def add_handle(self, *, closed: bool = False) -> int:
        """Add a handle; return its number."""
        handle = self.store.tables.handle
        values = {"session": 1, "closed_at": 1 if closed else None}
        return await self.store.run(lambda c: c.execute(insert(handle).values(**values).returning(handle.c.id)).scalar_one())

    async def close_handle(self, number: int) -> None:
        """Close a handle."""
        handle = self.store.tables.handle
        await self.store.run(lambda c: c.execute(update(handle).where(handle.c.id == number).values(closed_at=1)))

    async def flag(self, job_id: bytes) -> None:
        """Set a flag on a running job, as a cancel does."""
        running = self.store.tables.running
        await self.store.run(lambda c: c.execute(update(running).where(running.c.id == job_id).values(flags=2)))

    async def counted(self) -> dict[tuple[int, int], int]:
        """Return what the counters say by (lane, state), over all slots, without zeros."""
        counter = self.store.tables.counter
        query = select(counter.c.lane, counter.c.state, func.sum(counter.c.n)).group_by(counter.c.lane, counter.c.state)
        found = await self.store.run(lambda c: c.execute(query).all(), write=False)
        return {(lane, state): int(n) for lane, state, n in found if n}

    async def recounted(self) -> dict[tuple[int, int], int]:
        """Return how many jobs stand where."""
        t = self.store.tables

        def read(c: Connection) -> dict[tuple[int, int], int]:
            seen: Counter[tuple[int, int]] = Counter()
            for table, state in ((t.ready, PENDING), (t.running, RUNNING), (t.done, COMPLETED)):
                seen.update((lane, state) for (lane,) in c.execute(select(table.c.lane)))
            return dict(seen)

        return await self.store.run(read, write=False)


def store_of(options: Options) -> Store:
    """Return the store that the URL names."""
    stores: dict[str, Callable[[Options], Store]] = {"postgresql": PostgresStore, "mysql": MysqlStore, "sqlite": SqliteStore}
    return stores[make_url(options.url).get_backend_name()](options)


def server_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a fresh database on the server that the fixture's parameter names, one of SERVERS."""
    return str(request.getfixturevalue(f"{request.param}_dsn"))


async def ready_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a fresh database on such a server, with the newest schema."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_ready_dsn"))
    url = server_url(request)
    await upgrade(url)
    return url


@asynccontextmanager
async def opened(url: str, *, prefix: str = "", schema: str | None = None) -> AsyncIterator[Ground]:
    """Open a store with fresh tables."""
    clock = [0]
    store = store_of(Options(url=url, prefix=prefix, schema=schema, test_clock=clock))
    await store.open()
    try:
        await store.run(store.tables.metadata.create_all)
        await store.maintain()
        yield Ground(store, clock)
    finally:
        await store.close()

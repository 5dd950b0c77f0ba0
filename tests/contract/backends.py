"""The stores that the contract runs on. A new one is one entry of BACKENDS."""

import shutil
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Protocol

import pytest
from protojobs_service.domain.job import Handle, Lease
from protojobs_service.domain.queue_limits import Hold
from protojobs_service.drivers.memory import MemoryDriver
from protojobs_service.drivers.sql.driver import SqlDriver
from protojobs_service.drivers.sql.migrate import upgrade
from protojobs_service.drivers.sql.mysql import MysqlStore
from protojobs_service.drivers.sql.postgres import PostgresStore
from protojobs_service.drivers.sql.sqlite import SqliteStore
from protojobs_service.drivers.sql.store import Options, Store
from protojobs_service.port import Driver, Room

from tests.mariadb import MariaServer
from tests.postgres import Cluster


class Clock(Protocol):
    """The store's time in the hand of a test."""

    async def advance(self, span: timedelta) -> None:
        """Move the store's clock forward."""
        ...


@dataclass(slots=True)
class FakeRoom(Room):
    """Room with as many places as a test puts in, and a record of what the driver told.

    places: handles that have room for one job each. reserved: places that are to be given back, with the bytes they were taken for.
    """

    places: list[Handle] = field(default_factory=list[Handle])
    reserved: list[tuple[Handle, int]] = field(default_factory=list[tuple[Handle, int]])
    delivered: list[Lease] = field(default_factory=list[Lease])
    arrivals: list[frozenset[str]] = field(default_factory=list[frozenset[str]])
    holds: list[dict[str, Hold]] = field(default_factory=list[dict[str, Hold]])

    def free(self) -> int:
        """Return the number of places."""
        return len(self.places)

    def turning_over(self) -> bool:
        """Nothing is settled by itself here."""
        return False

    def reserve(self, jobs: Sequence[tuple[str, str, int]]) -> list[Handle]:
        """Take a place for each job until there is none."""
        handles: list[Handle] = []
        for _, _, size in jobs:
            handle = self.places.pop(0) if self.places else Handle(0)
            if handle:
                self.reserved.append((handle, size))
            handles.append(handle)
        return handles

    def deliver(self, leases: Sequence[Lease]) -> None:
        """Take leases for reserved places; fails for a place that nobody reserved."""
        for lease in leases:
            self.reserved.remove((lease.handle, len(lease.envelope)))
            self.delivered.append(lease)

    def unreserve(self, places: Sequence[tuple[Handle, int]]) -> None:
        """Take places back; fails for one that nobody reserved."""
        for place in places:
            self.reserved.remove(place)
            self.places.append(place[0])

    def arrived(self, queues: Collection[str]) -> None:
        """Note which queues have got something."""
        self.arrivals.append(frozenset(queues))

    def held_back(self, holds: Mapping[str, Hold]) -> None:
        """Note why queues give nothing more."""
        self.holds.append(dict(holds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """An opened driver with everything that a test holds of it.

    twin: opens another driver on the same store, as another server does; the same one again where a store belongs to one process.
    """

    driver: Driver
    room: FakeRoom
    clock: Clock
    twin: Callable[[], AbstractAsyncContextManager[Driver]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """How to open one store, empty; the request gives fixtures such as tmp_path and postgres_dsn."""

    open: Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Bench]]
    marks: Sequence[pytest.MarkDecorator] = ()


def fingerprint(queue: str, kind: str, envelope: bytes) -> bytes:
    """Return the fingerprint of a test's envelope, which is the id and a body."""
    return blake2b(b"\0".join((queue.encode(), kind.encode(), envelope)), digest_size=16).digest()


class _HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    async def advance(self, span: timedelta) -> None:
        self.now += span


@asynccontextmanager
async def _memory(request: pytest.FixtureRequest) -> AsyncGenerator[Bench]:
    clock, room = _HandClock(), FakeRoom()
    driver = MemoryDriver(fingerprint=fingerprint, clock=clock, rng=Random(1))
    await driver.open(room)
    yield Bench(driver=driver, room=room, clock=clock, twin=lambda: nullcontext(driver))
    await driver.close()


class _SqlClock:
    """Runs with the machine's time, moved forward by the tests' offset."""

    def __init__(self) -> None:
        self.offset_us = [0]

    async def advance(self, span: timedelta) -> None:
        self.offset_us[0] += span // timedelta(microseconds=1)


@asynccontextmanager
async def _opened(store: Store, clock: _SqlClock, another: Callable[[], Store] | None = None) -> AsyncGenerator[Bench]:
    room = FakeRoom()
    driver = SqlDriver(store, fingerprint=fingerprint, rng=Random(1), replica="test")

    @asynccontextmanager
    async def twin() -> AsyncGenerator[Driver]:
        if another is None:
            yield driver
            return
        other = SqlDriver(another(), fingerprint=fingerprint, rng=Random(2), replica="twin")
        await other.open(FakeRoom())
        try:
            yield other
        finally:
            await other.close()

    await driver.open(room)
    try:
        yield Bench(driver=driver, room=room, clock=clock, twin=twin)
    finally:
        await driver.close()


_upgraded: set[Path] = set()
"""The database files that fresh ones are copied from."""


@asynccontextmanager
async def _sqlite(request: pytest.FixtureRequest) -> AsyncGenerator[Bench]:
    template: Path = request.getfixturevalue("tmp_path_factory").getbasetemp() / "template.db"
    if template not in _upgraded:
        await upgrade(f"sqlite:///{template}")
        _upgraded.add(template)
    database = request.getfixturevalue("tmp_path") / "jobs.db"
    shutil.copyfile(template, database)
    clock = _SqlClock()
    async with _opened(SqliteStore(Options(url=f"sqlite:///{database}", test_clock=clock.offset_us)), clock) as bench:
        yield bench


_databases: dict[int, str] = {}
"""By port of the server, the database that tests empty and use again: making one takes longer than most tests."""


@asynccontextmanager
async def _postgres(request: pytest.FixtureRequest) -> AsyncGenerator[Bench]:
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    if cluster.port not in _databases:
        name = cluster.create_database()
        await upgrade(cluster.dsn(name))
        _databases[cluster.port] = cluster.dsn(name)
    clock = _SqlClock()
    options = Options(url=_databases[cluster.port], test_clock=clock.offset_us)
    store = PostgresStore(options)
    await _empty(store)
    async with _opened(store, clock, lambda: PostgresStore(options)) as bench:
        yield bench


@asynccontextmanager
async def _mariadb(request: pytest.FixtureRequest) -> AsyncGenerator[Bench]:
    server: MariaServer = request.getfixturevalue("mariadb_server")
    if server.port not in _databases:
        url = server.dsn(server.create_database())
        await upgrade(url)
        _databases[server.port] = url
    clock = _SqlClock()
    options = Options(url=_databases[server.port], test_clock=clock.offset_us)
    store = MysqlStore(options)
    await _empty(store)
    async with _opened(store, clock, lambda: MysqlStore(options)) as bench:
        yield bench


async def _empty(store: Store) -> None:
    await store.open()
    await store.run(lambda c: [c.execute(table.delete()) for table in store.tables.metadata.tables.values()])
    await store.close()


BACKENDS: Mapping[str, Backend] = {
    "memory": Backend(open=_memory),
    "sqlite": Backend(open=_sqlite),
    "postgres": Backend(open=_postgres, marks=[pytest.mark.postgres]),
    "mysql": Backend(open=_mariadb, marks=[pytest.mark.mariadb]),
}

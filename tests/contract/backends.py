"""The stores that the contract runs on. A new one is one entry of BACKENDS."""

import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import blake2b
from random import Random
from typing import Any, Protocol, cast

import pytest
from protojobs_service.domain.job import Handle, JobId, Lease, NewJob, child_id
from protojobs_service.domain.queue_limits import Hold
from protojobs_service.domain.schedule import Schedule
from protojobs_service.domain.unique import Unique
from protojobs_service.drivers.kafka.driver import KafkaDriver
from protojobs_service.drivers.kafka.options import Options as KafkaOptions
from protojobs_service.drivers.memory import MemoryDriver
from protojobs_service.drivers.sql.driver import SqlDriver
from protojobs_service.drivers.sql.migrate import upgrade
from protojobs_service.drivers.sql.mysql import MysqlStore
from protojobs_service.drivers.sql.postgres import PostgresStore
from protojobs_service.drivers.sql.sqlite import SqliteStore
from protojobs_service.drivers.sql.store import Options, Store
from protojobs_service.port import Driver, FollowUps, ListQuery, Room
from sqlalchemy import Connection

from tests.brokers.cluster import KafkaCluster
from tests.mariadb import MariaServer
from tests.postgres import Cluster


class Clock(Protocol):
    """The store's time in the hand of a test."""

    async def advance(self, span: timedelta) -> None:
        """Move the store's clock forward."""
        ...

    def now(self) -> datetime:
        """Return it without asking the store: the stores of the tests run by this machine's clock."""
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

    @property
    def told(self) -> frozenset[str]:
        """Queues that got something. A driver may tell of a job twice: it reads of a queue of its own as of those of others."""
        return frozenset[str]().union(*self.arrivals)

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


class NamedFollowUps(FollowUps):
    """Reads envelopes whose body is `completed>queue,...;failed>queue,...`: one job of kind `k` for each queue."""

    def has_any(self, envelope: bytes) -> bool:
        """Tell whether the body names queues."""
        return b">" in envelope[16:]

    def of(self, parent: JobId, attempt: int, envelope: bytes, *, completed: bool) -> Sequence[NewJob]:
        """Return a job for each queue of the outcome."""
        lists = dict(part.split(">") for part in envelope[16:].decode().split(";"))
        queues = lists.get("completed" if completed else "failed", "")
        prefix = (time.time_ns() // 1_000_000).to_bytes(6)
        ids = [child_id(prefix, parent, attempt, place) for place in range(queues.count(",") + 1)]
        named = zip(ids, filter(None, queues.split(",")), strict=False)
        return [NewJob(job_id, queue, "k", 5, job_id + b"body", parent=parent) for job_id, queue in named]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """An opened driver with everything that a test holds of it.

    twin: opens another driver on the same store, as another server does; the same one again where a store belongs to one process.
    copy_schedule: stores a schedule again under other, new names, thousands at once.
    """

    driver: Driver
    room: FakeRoom
    clock: Clock
    twin: Callable[[], AbstractAsyncContextManager[Driver]]
    copy_schedule: Callable[[str, Sequence[str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class OpenStore:
    """A store that is open, and how to make another one on the same database, where it takes several."""

    store: Store
    clock: "SqlClock"
    another: Callable[[], Store] | None


@dataclass(slots=True)
class Kept:
    """Stores that stay open from test to test, by backend: to connect, prepare and plan again takes longer than most tests."""

    stores: dict[str, OpenStore] = field(default_factory=dict[str, OpenStore])

    async def end(self) -> None:
        """Close them; the loop must be the one that they were opened in."""
        for each in self.stores.values():
            await each.store.close()
        self.stores.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """How to open one store, empty; the request gives the servers, `kept` what earlier tests of the same loop have opened."""

    open: Callable[[pytest.FixtureRequest, Kept], AbstractAsyncContextManager[Bench]]
    marks: Sequence[pytest.MarkDecorator] = ()


def fingerprint(queue: str, kind: str, envelope: bytes) -> bytes:
    """Return the fingerprint of a test's envelope, which is the id and a body."""
    return blake2b(b"\0".join((queue.encode(), kind.encode(), envelope)), digest_size=16).digest()


UNIQUE: dict[bytes, Unique] = {}
"""By id, the keys of the jobs that tests have made: their envelopes say nothing but the id."""


def unique_of(envelope: bytes) -> Unique | None:
    """Return the unique key of a test's envelope."""
    return UNIQUE.get(envelope[:16])


class _HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self._now

    now = __call__

    async def advance(self, span: timedelta) -> None:
        self._now += span


def _replaced_by(new: Schedule, old: Schedule | None, now: datetime) -> Schedule:
    return new


@asynccontextmanager
async def _memory(request: pytest.FixtureRequest, kept: Kept) -> AsyncGenerator[Bench]:
    clock, room = _HandClock(), FakeRoom()
    driver = MemoryDriver(fingerprint=fingerprint, clock=clock, rng=Random(1))
    await driver.open(room, NamedFollowUps())

    async def copy_schedule(name: str, others: Sequence[str]) -> None:
        schedule = await driver.schedules.get(name)
        assert schedule is not None
        for other in others:
            await driver.schedules.change(other, partial(_replaced_by, replace(schedule, name=other)))

    yield Bench(driver=driver, room=room, clock=clock, twin=lambda: nullcontext(driver), copy_schedule=copy_schedule)
    await driver.close()


class SqlClock:
    """Runs with the machine's time, moved forward by the tests' offset."""

    def __init__(self) -> None:
        self.offset_us = [0]

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(microseconds=self.offset_us[0])

    async def advance(self, span: timedelta) -> None:
        self.offset_us[0] += span // timedelta(microseconds=1)


class _Lent:
    """A store that stays open when its driver closes it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def open(self) -> None:
        """Make the days that an earlier test, far ahead, has dropped."""
        await self._store.maintain()

    async def close(self) -> None:
        """Do nothing."""


async def _make(make: Callable[[Options], Store], url: str, *, several: bool = True) -> OpenStore:
    clock = SqlClock()
    options = Options(url=url, test_clock=clock.offset_us)
    store = make(options)
    await store.open()
    return OpenStore(store, clock, (lambda: make(options)) if several else None)


@asynccontextmanager
async def _opened(kept: Kept, name: str, make: Callable[[], Awaitable[OpenStore]]) -> AsyncGenerator[Bench]:
    opened, driver = await _emptied(kept, name, make)
    room = FakeRoom()

    @asynccontextmanager
    async def twin() -> AsyncGenerator[Driver]:
        if opened.another is None:
            yield driver
            return
        other = SqlDriver(opened.another(), fingerprint=fingerprint, unique_of=unique_of, rng=Random(2), replica="twin")
        await other.open(FakeRoom(), NamedFollowUps())
        try:
            yield other
        finally:
            await other.close()

    await driver.open(room, NamedFollowUps())
    try:
        yield Bench(driver=driver, room=room, clock=opened.clock, twin=twin, copy_schedule=_copier(opened.store))
    finally:
        await driver.close()


async def _emptied(kept: Kept, name: str, make: Callable[[], Awaitable[OpenStore]]) -> tuple[OpenStore, SqlDriver]:
    """Return an empty store and a driver for it, not opened."""
    if name not in kept.stores:
        kept.stores[name] = await make()
    opened = kept.stores[name]
    opened.clock.offset_us[0] = 0
    await opened.store.run(lambda c: _empty(c, opened.store))
    lent = cast("Store", _Lent(opened.store))
    return opened, SqlDriver(lent, fingerprint=fingerprint, unique_of=unique_of, rng=Random(1), replica="test")


def _empty(c: Connection, store: Store) -> None:
    tables = store.tables.metadata.tables.values()
    if c.dialect.name == "postgresql":
        emptied = ",".join(f"t{n} as (delete from {c.dialect.identifier_preparer.format_table(t)})" for n, t in enumerate(tables))
        c.exec_driver_sql(f"with {emptied} select 1")
    else:
        for table in tables:
            c.execute(table.delete())


def _copier(store: Store) -> Callable[[str, Sequence[str]], Awaitable[None]]:
    table = store.tables.schedule

    def copy(c: Connection, name: str, others: Sequence[str]) -> None:
        row = c.execute(table.select().where(table.c.name == name)).mappings().one()
        c.execute(table.insert(), [{**row, "name": other} for other in others])

    return lambda name, others: store.run(lambda c: copy(c, name, others))


async def _make_sqlite(request: pytest.FixtureRequest) -> OpenStore:
    url = f"sqlite:///{request.getfixturevalue('tmp_path_factory').mktemp('contract')}/jobs.db"
    await upgrade(url)
    return await _make(SqliteStore, url, several=False)


@asynccontextmanager
async def _sqlite(request: pytest.FixtureRequest, kept: Kept) -> AsyncGenerator[Bench]:
    async with _opened(kept, "sqlite", lambda: _make_sqlite(request)) as bench:
        yield bench


_databases: dict[int, str] = {}
"""By port of the server, the database of these tests: making one takes longer than most of them."""


async def _url(server: Cluster | MariaServer) -> str:
    if server.port not in _databases:
        url = server.dsn(server.create_database())
        await upgrade(url)
        _databases[server.port] = url
    return _databases[server.port]


@asynccontextmanager
async def _postgres(request: pytest.FixtureRequest, kept: Kept) -> AsyncGenerator[Bench]:
    async def make() -> OpenStore:
        return await _make(PostgresStore, await _url(request.getfixturevalue("postgres_cluster")))

    async with _opened(kept, "postgres", make) as bench:
        yield bench


@asynccontextmanager
async def _mariadb(request: pytest.FixtureRequest, kept: Kept) -> AsyncGenerator[Bench]:
    async def make() -> OpenStore:
        return await _make(MysqlStore, await _url(request.getfixturevalue("mariadb_server")))

    async with _opened(kept, "mysql", make) as bench:
        yield bench


@dataclass(frozen=True, slots=True)
class _MovedFirst:
    """A clock that moves once what was dispatched has left its topic: that takes milliseconds, in which no hour passes."""

    driver: Driver
    clock: SqlClock

    def now(self) -> datetime:
        return self.clock.now()

    async def advance(self, span: timedelta) -> None:
        await self.driver.jobs.list(ListQuery(limit=1))
        await self.clock.advance(span)


@asynccontextmanager
async def _kafka(request: pytest.FixtureRequest, kept: Kept) -> AsyncGenerator[Bench]:
    """Topics of their own for each test, before the SQLite of all."""
    cluster: KafkaCluster = request.getfixturevalue("kafka_broker")
    prefix = f"t{secrets.token_hex(6)}"
    opened, side = await _emptied(kept, "sqlite", lambda: _make_sqlite(request))
    room = FakeRoom()
    options = KafkaOptions(
        brokers=cluster.servers,
        prefix=prefix,
        replication=1,
        partitions=1,
        session_timeout_s=6,
        overrides={"enable.idempotence": False},
    )
    driver = KafkaDriver(side, options, fresh=timedelta(days=6), patience=timedelta(seconds=10), now=opened.clock.now)
    await driver.open(room, NamedFollowUps())
    try:
        clock, copy_schedule = _MovedFirst(driver, opened.clock), _copier(opened.store)
        yield Bench(driver=driver, room=room, clock=clock, twin=lambda: nullcontext(driver), copy_schedule=copy_schedule)
    finally:
        await driver.close()


BACKENDS: Mapping[str, Backend] = {
    "memory": Backend(open=_memory),
    "sqlite": Backend(open=_sqlite),
    "postgres": Backend(open=_postgres, marks=[pytest.mark.postgres]),
    "mysql": Backend(open=_mariadb, marks=[pytest.mark.mariadb]),
    "kafka": Backend(open=_kafka, marks=[pytest.mark.kafka]),
}

"""PostgreSQL: the store of any number of servers. Cold operations use SQLAlchemy's pool, hot ones connections of their own."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import blake2b
from operator import attrgetter
from typing import Any, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Connection, event, func, literal_column, select
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.sql import postgres_partitions
from protojobs_service.drivers.sql.again import run_again
from protojobs_service.drivers.sql.cold.ends import logging_ends
from protojobs_service.drivers.sql.dsn import endpoint
from protojobs_service.drivers.sql.patience import STATEMENT_SECONDS, statement_seconds
from protojobs_service.drivers.sql.pools import Asking
from protojobs_service.drivers.sql.postgres_hints import Hints
from protojobs_service.drivers.sql.postgres_link import (
    CONNECT_SECONDS,
    LOCK_SECONDS,
    PLANNER,
    HotLink,
    may_run_again,
    use_raw_ids,
)
from protojobs_service.drivers.sql.postgres_statements import CLOCK, OFFSET_SETTING, TEST_CLOCK, quoted, render
from protojobs_service.drivers.sql.store import Claimed, ClaimGroup, Completions, Inserted, Options, Probe, Rows
from protojobs_service.drivers.sql.tables import build
from protojobs_service.port.driver import Pool

T = TypeVar("T")
_log = logging.getLogger(__name__)

_POSITION = attrgetter("position")

_OLDEST = 140_000
_VITAL_POOL_SIZE = 4
_VITAL, _REST = "vital", "rest"
_WRITE: Mapping[str, Any] = {}
_SNAPSHOT: Mapping[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_ALONE: Mapping[str, Any] = {"isolation_level": "AUTOCOMMIT"}
"""How a cold operation runs: execution options of its connection."""
_LONGEST_NAME = 63
_HINTS = 1
"""Connections beside the pools and the hot links."""
_POOL_SECONDS = 1.0
_RECYCLE_SECONDS = 1800
_DAY_US = 86_400_000_000
_JOINS_WEIGHED = 4
"""Joins that the planner may put in another order. Where a job stands is eight joins by key: weighing their orders takes 8 ms."""


class PostgresStore:
    """The Store on PostgreSQL 14 or newer.

    Dispatch, claim and complete have a connection each, so that each can have one flush in flight; a flush is one statement. That
    of large jobs has one, too, which is opened when the first of them comes.
    """

    name = "postgres"

    def __init__(self, options: Options) -> None:
        """Prepare; nothing is connected yet."""
        self.tables = build(schema=options.schema, prefix=options.prefix)
        self.id_range = postgres_partitions.EVERY_ID
        self._offset = options.test_clock
        self._clock = CLOCK if options.test_clock is None else TEST_CLOCK
        self._statements = render(self.tables, clock=self._clock)
        self._options = options
        self._engine: AsyncEngine | None = None
        self._vital_engine: AsyncEngine | None = None
        self._asking = Asking()
        # The insert may hash its handles; it reads no table but `handle`, by key.
        self._dispatcher = self._link("dispatch", PLANNER | {"enable_hashjoin": "on"})
        self._aside = self._link("dispatch aside", PLANNER | {"enable_hashjoin": "on"})
        self._claimer = self._link("claim", PLANNER)
        self._completer = self._link("complete", PLANNER)
        self._links = (self._dispatcher, self._aside, self._claimer, self._completer)
        self._hints = Hints(options.url, _channel(f"{options.schema or ''}.{options.prefix}jobs"))

    async def open(self) -> None:
        """Connect and check version, durability and role; make partitions where the tables exist. Raises StoreUnavailable."""
        if self._engine is None:
            self._engine = self._make_engine(self._options, self._options.pool_size)
            self._vital_engine = self._make_engine(self._options, _VITAL_POOL_SIZE)
        try:
            await self.run(_check, write=False)
            await self.run(self._count_connections, write=False)
            await self.maintain()
            for link in self._links:
                link.start()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what is in flight and disconnect. Idempotent."""
        for link in self._links:
            await link.close()
        for engine in filter(None, (self._engine, self._vital_engine)):
            await engine.dispose()
        self._engine = self._vital_engine = None

    def now(self) -> ColumnElement[int]:
        """Return the server's clock; a subquery, so that a condition on it can use an index (a volatile function cannot)."""
        return literal_column(f"(select {self._clock})", BigInteger())

    def pools(self) -> Mapping[str, Pool]:
        """Return the pools of the cold operations: of those on which leases depend, and of the rest."""
        return self._asking.pools({_REST: self._engine, _VITAL: self._vital_engine})

    async def run(self, operation: Callable[[Connection], T], *, write: bool = True, vital: bool = False) -> T:
        """Run a cold operation; see Store.run. A read sees one snapshot and takes no locks."""
        return await run_again(lambda: self._run_once(operation, _WRITE if write else _SNAPSHOT, vital=vital), may_run_again)

    async def ask(self, operation: Callable[[Connection], T], *, vital: bool = False) -> T:
        """Run a short read; see Store.ask. A statement is one round trip, where `run` has two more."""
        return await run_again(lambda: self._run_once(operation, _ALONE, vital=vital), may_run_again)

    async def scan(self, operation: Callable[[Connection], T]) -> T:
        """Run a long read on one connection of the pool; see Store.scan."""
        return await self.run(operation, write=False)

    async def _run_once(self, operation: Callable[[Connection], T], options: Mapping[str, Any], *, vital: bool) -> T:
        engine = self._vital_engine if vital else self._engine
        if engine is None:
            raise StoreUnavailable("the store is not open")
        with self._asking.of(_VITAL if vital else _REST):
            return await self._run_on(engine, operation, options)

    async def _run_on(self, engine: AsyncEngine, operation: Callable[[Connection], T], options: Mapping[str, Any]) -> T:
        async with engine.connect() as connection:
            if options:
                await connection.execution_options(**options)
            if self._offset is not None:
                await _tell(connection, OFFSET_SETTING, self._offset[0], 0)
            milliseconds = int(statement_seconds() * 1000)
            await _tell(connection, "statement_timeout", milliseconds, int(STATEMENT_SECONDS * 1000))
            async with connection.begin():
                return await connection.run_sync(operation if options else logging_ends(operation))

    async def dispatch(self, rows: Rows, slot: int, *, aside: bool = False) -> Inserted:
        """Insert jobs; see Store.dispatch. Every id must lie in `id_range`."""
        optional = (rows.handles, rows.policies, rows.accepted)
        statements = self._statements.dispatch_aside if aside else self._statements.dispatch
        statement = statements[rows.handles is not None, rows.policies is not None, rows.accepted is not None]
        more = [column for column in optional if column is not None]
        values = (rows.ids, rows.lanes, rows.bands, rows.envelopes, rows.base, slot, *more)
        ((created, unplaced),) = await (self._aside if aside else self._dispatcher).fetch(statement, *values)
        if rows.handles is None or unplaced or 0 in rows.handles:
            self._hints.announce(rows.lanes)
        return Inserted(None if created is None else sorted(created), sorted(unplaced or ()))

    async def claim(self, groups: Sequence[ClaimGroup], slot: int) -> list[Claimed]:
        """Lease ready jobs; see Store.claim."""
        probes = [probe for group in groups for probe in group.probes]
        columns = [list(column) for column in zip(*probes, strict=True)]
        places = [place for group in groups for place in group.places]
        if not probes or not places:
            return []
        if len(groups) == 1:
            most = groups[0].max_bytes
            budget = [most] if most else []
            found = await self._claimer.fetch(self._statements.claim[bool(most)], *columns, places, slot, *budget)
        else:
            of_probe = [number for number, group in enumerate(groups, 1) for _ in group.probes]
            of_place = [number for number, group in enumerate(groups, 1) for _ in group.places]
            budgets = [group.max_bytes for group in groups]
            values = (*columns, of_probe, places, of_place, budgets, slot)
            found = await self._claimer.fetch(self._statements.claim_several, *values)
        return _in_order(list(map(Claimed._make, found)), probes)

    async def complete(self, items: Completions, slot: int) -> Sequence[int] | None:
        """End plain completions; see Store.complete."""
        ((applied,),) = await self._completer.fetch(self._statements.complete, items.ids, items.attempts, items.handles, slot)
        return None if applied is None else sorted(applied)

    async def maintain(self) -> None:
        """Make day partitions -8..+3, drop empty ones that ended 9 days ago, and read which ids have one."""
        self.id_range = await self.run(self._maintain)

    def announce(self, lanes: Collection[int]) -> None:
        """Tell other replicas within 50 ms that jobs of these lanes have become claimable; see Store.announce."""
        self._hints.announce(lanes)

    async def listen(self, arrived: Callable[[Collection[int]], None]) -> None:
        """Exchange hints with the other replicas until cancelled; see Store.listen."""
        await self._hints.run(arrived)

    def _count_connections(self, connection: Connection) -> None:
        """Warn where the server has fewer connections than this process alone may open; others need theirs, too."""
        names = ("max_connections", "superuser_reserved_connections", "reserved_connections")  # the last one since 16
        columns = (func.coalesce(func.current_setting(name, True), "0") for name in names)
        most, *reserved = (int(value) for value in connection.execute(select(*columns)).one())
        wanted = self._options.pool_size + _VITAL_POOL_SIZE + len(self._links) + _HINTS
        if wanted > most - sum(reserved):
            _log.warning(
                "PostgreSQL has too few connections: operations will fail as overloaded",
                extra={"wanted": wanted, "max_connections": most, "reserved": sum(reserved)},
            )

    def _maintain(self, connection: Connection) -> tuple[bytes, bytes]:
        job, done = self.tables.job, self.tables.done
        if not postgres_partitions.is_partitioned(connection, job):
            return postgres_partitions.EVERY_ID
        # One replica at a time; the others find the work done.
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(quoted(job)))))
        today = connection.execute(select(self.now())).scalar_one() // _DAY_US
        dropped = postgres_partitions.drop_empty(connection, job, today)
        # A job of long ago that has not ended yet still needs a place for its outcome.
        kept = {partition.low for partition in postgres_partitions.partitions(connection, job)}
        dropped += postgres_partitions.drop_empty(connection, done, today, keep=kept)
        for table in (job, done):
            postgres_partitions.make(connection, table, today)
        for name in dropped:
            _log.info("partition dropped", extra={"partition": name})
        ranges = [postgres_partitions.id_range(connection, table, today) for table in (job, done)]
        return max(low for low, _ in ranges), min(high for _, high in ranges)

    def _link(self, name: str, planner: dict[str, str]) -> HotLink:
        return HotLink(name, self._options.url, planner=planner, offset=self._offset)

    def _make_engine(self, options: Options, size: int) -> AsyncEngine:
        settings = {
            "application_name": "protojobs",
            "default_transaction_isolation": "read committed",  # who waited for a lock must see what its holder did
            "jit": "off",
            "join_collapse_limit": str(_JOINS_WEIGHED),
            "lock_timeout": f"{LOCK_SECONDS}s",
            "statement_timeout": f"{STATEMENT_SECONDS:.0f}s",
            "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS:.0f}s",
        }
        place = endpoint(options.url)
        timeouts = {"timeout": CONNECT_SECONDS, "command_timeout": STATEMENT_SECONDS + 5}
        engine = create_async_engine(
            place.url,
            hide_parameters=True,
            pool_size=size,
            max_overflow=0,
            pool_timeout=_POOL_SECONDS,
            pool_recycle=_RECYCLE_SECONDS,
            connect_args={"server_settings": settings, **timeouts, **place.tls},
        )

        event.listen(engine.sync_engine, "connect", _use_raw_ids)
        event.listen(engine.sync_engine, "checkout", _refuse_closed)
        return engine


def _channel(name: str) -> str:
    """Return the name of a channel: itself, or where PostgreSQL would refuse to notify it, its fingerprint."""
    return name if len(name) <= _LONGEST_NAME else f"protojobs.{blake2b(name.encode(), digest_size=16).hexdigest()}"


async def _tell(connection: AsyncConnection, setting: str, value: int, begun_with: int) -> None:
    """Set a setting of this connection where it is another one by now; outside of any transaction."""
    known = connection.info
    if known.get(setting, begun_with) != value:
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        await raw.driver_connection.execute("select set_config($1,$2,false)", setting, str(value))
        known[setting] = value


def _use_raw_ids(dbapi: Any, _record: Any) -> None:
    dbapi.run_async(use_raw_ids)


def _refuse_closed(dbapi: Any, _record: Any, _proxy: Any) -> None:
    """Let the pool replace a connection that the server has closed. asyncpg knows; a ping would take four round trips."""
    if dbapi.driver_connection.is_closed():
        raise DisconnectionError("the server has closed it")


def _in_order(claimed: list[Claimed], probes: Sequence[Probe]) -> list[Claimed]:
    """Sort by probe, and within each by position: the statement gives them as it found them."""
    claimed.sort(key=_POSITION)
    if len(probes) == 1 or len(claimed) < 2:
        return claimed
    found: dict[tuple[int, int], list[Claimed]] = {}
    for row in claimed:
        found.setdefault((row.lane, row.band), []).append(row)
    if len(found) == 1:
        return claimed
    return [row for lane, band, _ in probes for row in found.pop((lane, band), ())]


def _check(connection: Connection) -> None:
    """Refuse a server that is too old, a standby, or not durable."""
    names = ("server_version_num", "fsync", "synchronous_commit")
    setting = {name: str(connection.scalar(select(func.current_setting(name)))) for name in names}
    if int(setting["server_version_num"]) < _OLDEST:
        raise StoreUnavailable(f"PostgreSQL {setting['server_version_num']} is too old: 14 or newer is needed")
    if setting["fsync"] == "off":
        raise StoreUnavailable("PostgreSQL runs with fsync=off: a crash of its host would lose or corrupt jobs")
    if connection.scalar(select(func.pg_is_in_recovery())):
        raise StoreUnavailable("this PostgreSQL is a standby")
    if setting["synchronous_commit"] == "off":
        _log.warning("synchronous_commit is off: a crash of the store loses jobs that were answered")

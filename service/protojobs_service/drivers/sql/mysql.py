"""MariaDB: the store of any number of servers. Cold operations use SQLAlchemy's pool, hot ones connections of their own."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from asyncmy.errors import IntegrityError
from sqlalchemy import BigInteger, ColumnElement, Connection, literal_column, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.sql.again import run_again
from protojobs_service.drivers.sql.cold.ends import logging_ends
from protojobs_service.drivers.sql.dsn import endpoint
from protojobs_service.drivers.sql.errors import translated
from protojobs_service.drivers.sql.mysql_link import HotLink, Send, may_run_again, session_arguments
from protojobs_service.drivers.sql.mysql_statements import CLOCK, Ended, Leased, Statements
from protojobs_service.drivers.sql.patience import STATEMENT_SECONDS, statement_seconds
from protojobs_service.drivers.sql.pools import Asking
from protojobs_service.drivers.sql.store import Claimed, ClaimGroup, Completions, Inserted, Options, Rows
from protojobs_service.drivers.sql.tables import build
from protojobs_service.port.driver import Pool

T = TypeVar("T")
_log = logging.getLogger(__name__)

_OLDEST = (10, 6)  # SKIP LOCKED; RETURNING is older
_LEAST_PACKET = 16 * 1024 * 1024
_PACKET_BYTES = 4 * 1024 * 1024
"""Envelopes in one INSERT; as hex they take twice as much of `max_allowed_packet`."""
_VITAL_POOL_SIZE = 4
_VITAL, _REST = "vital", "rest"
_POOL_SECONDS = 1.0
_RECYCLE_SECONDS = 1800
_TRANSACTION_SECONDS = 60
_SCAN_SECONDS = 900
_DUPLICATE = 1062
_OFFSET = "@protojobs_offset"
_MOST_SECONDS = "max_statement_time"


class MysqlStore:
    """The Store on MariaDB 10.6 or newer.

    Dispatch, claim and complete have a connection each, so that each can have one flush in flight; a flush is one transaction.
    """

    name = "mysql"

    def __init__(self, options: Options) -> None:
        """Prepare; nothing is connected yet."""
        self.tables = build(prefix=options.prefix, clustered=True)
        self.id_range: tuple[bytes, bytes] = (b"", b"\xff" * 17)
        self._offset = options.test_clock
        self._sql = Statements(self.tables, options.test_clock)
        self._options = options
        self._engine: AsyncEngine | None = None
        self._vital_engine: AsyncEngine | None = None
        self._asking = Asking()
        self._dispatcher, self._aside, self._claimer, self._completer = self._links = (
            HotLink(options.url),
            HotLink(options.url),
            HotLink(options.url),
            HotLink(options.url),
        )

    async def open(self) -> None:
        """Connect and check version and durability. Raises StoreUnavailable."""
        if self._engine is None:
            self._engine = self._make_engine(self._options.pool_size)
            self._vital_engine = self._make_engine(_VITAL_POOL_SIZE)
        try:
            await self.run(_check, write=False)
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
        """Return the server's clock, as it was when the statement began."""
        offset = "" if self._offset is None else f"+coalesce({_OFFSET},0)"
        return literal_column(f"({CLOCK}{offset})", BigInteger())

    def pools(self) -> Mapping[str, Pool]:
        """Return the pools of the cold operations: of those on which leases depend, and of the rest."""
        return self._asking.pools({_REST: self._engine, _VITAL: self._vital_engine})

    async def run(self, operation: Callable[[Connection], T], *, write: bool = True, vital: bool = False) -> T:
        """Run a cold operation; see Store.run. A read sees one snapshot and takes no locks."""
        return await run_again(lambda: self._uncovered(operation, write=write, vital=vital), may_run_again)

    async def ask(self, operation: Callable[[Connection], T], *, vital: bool = False) -> T:
        """Run a short read; see Store.ask. In a transaction all the same: asyncmy needs two round trips to go without one."""
        return await self.run(operation, write=False, vital=vital)

    async def _uncovered(self, operation: Callable[[Connection], T], *, write: bool, vital: bool) -> T:
        """Run once; a cancellation is raised as one.

        asyncmy closes a connection whose query is cancelled. What SQLAlchemy does behind it then fails or swallows it, so that a
        task that was told to end would go on.
        """
        task = asyncio.current_task()
        before = 0 if task is None else task.cancelling()
        try:
            with self._asking.of(_VITAL if vital else _REST):
                found = await self._run_once(operation, write=write, vital=vital)
        except Exception as error:
            if task is not None and task.cancelling() > before:
                raise asyncio.CancelledError from error
            raise
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
        return found

    async def scan(self, operation: Callable[[Connection], T]) -> T:
        """Run a long read on one connection of the pool; see Store.scan."""
        with translated(), self._asking.of(_REST):
            return await self._run_once(operation, write=False, vital=False, within=_SCAN_SECONDS)

    async def _run_once(
        self, operation: Callable[[Connection], T], *, write: bool, vital: bool, within: float = _TRANSACTION_SECONDS
    ) -> T:
        engine = self._vital_engine if vital else self._engine
        if engine is None:
            raise StoreUnavailable("the store is not open")
        # Not asyncmy's read_timeout: on Python 3.11 it loses a cancellation that comes together with an answer.
        async with asyncio.timeout(within), engine.connect() as connection, connection.begin():
            if self._offset is not None:
                await connection.execute(text(f"SET {_OFFSET}={self._offset[0]:d}"))
            await _tell_seconds(connection, statement_seconds())
            if not write:  # holds for this transaction only; the first read takes the snapshot
                await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            return await connection.run_sync(logging_ends(operation) if write else operation)

    async def dispatch(self, rows: Rows, slot: int, *, aside: bool = False) -> Inserted:
        """Insert jobs; see Store.dispatch."""
        if not rows.ids:
            return Inserted(None, [])
        link = self._aside if aside else self._dispatcher
        return await link.run(lambda send: self._dispatch(send, rows, slot))

    async def _dispatch(self, send: Send, rows: Rows, slot: int) -> Inserted:
        sql, total = self._sql, len(rows.ids)
        handles = rows.handles
        order = sorted(range(total), key=rows.ids.__getitem__)
        parts = _parts(rows, order)
        asked = set(handles or ()) - {0}
        if not asked and len(parts) == 1:  # nothing to be read: one packet, unless an id is known
            insert, rest = sql.insert_jobs(rows, order), self._write_new(rows, range(total), set(), slot)
            try:
                await send(f"{sql.begin()};{insert};{rest}")
            except IntegrityError as error:
                _refuse_unless_duplicate(error)
            else:
                return Inserted(None, [])
            created = await self._insert_new(send, rows, parts)
            await send(self._write_new(rows, created, set(), slot))
            return Inserted(created, [])
        alive: set[int] = set()
        if asked:
            alive = {row[0] for row in (await send(f"{sql.begin()};{sql.open_handles(asked)}"))[-1]}
        else:
            await send(sql.begin())
        known = await self._insert_all(send, rows, parts)
        places = range(total) if known is None else known
        await send(self._write_new(rows, places, alive, slot))
        return Inserted(known, [i for i in places if handles and handles[i] and handles[i] not in alive])

    async def _insert_all(self, send: Send, rows: Rows, parts: Sequence[Sequence[int]]) -> list[int] | None:
        """Insert jobs; the ordinals that are new, None for all. RETURNING is asked for only where an id turned out to be known."""
        if len(parts) == 1:
            try:
                await send(self._sql.insert_jobs(rows, parts[0]))
            except IntegrityError as error:
                _refuse_unless_duplicate(error)
            else:
                return None
        return await self._insert_new(send, rows, parts)

    async def _insert_new(self, send: Send, rows: Rows, parts: Sequence[Sequence[int]]) -> list[int]:
        new: set[bytes] = set()
        for part in parts:
            (found,) = await send(self._sql.insert_jobs(rows, part, ignore=True))
            new |= {row[0] for row in found}
        first: dict[bytes, int] = {}
        for place, job_id in enumerate(rows.ids):
            if job_id in new:
                first.setdefault(job_id, place)
        return list(first.values())

    def _write_new(self, rows: Rows, places: Sequence[int], alive: set[int], slot: int) -> str:
        """Put new jobs where they belong, count them and commit."""
        sql, handles = self._sql, rows.handles
        placed = [i for i in places if handles[i] in alive] if handles and alive else []
        chosen = set(placed)
        waiting = [i for i in places if i not in chosen] if chosen else places
        counts = Counter((rows.lanes[i], State.PENDING) for i in waiting)
        counts.update((rows.lanes[i], State.RUNNING) for i in placed)
        texts: list[str] = []
        if handles and placed:
            new = (Leased(handles[i], rows.base + i, rows.ids[i], rows.lanes[i], rows.bands[i], 1, 0, 0, 0) for i in placed)
            texts.append(sql.insert_running(new))
        if waiting:
            texts.append(sql.insert_ready(rows, waiting))
        if counts:
            texts.append(sql.count(counts, slot))
        return ";".join([*texts, "COMMIT"])

    async def claim(self, groups: Sequence[ClaimGroup], slot: int) -> list[Claimed]:
        """Lease ready jobs; see Store.claim."""
        if not any(group.probes and group.places for group in groups):
            return []
        return await self._claimer.run(lambda send: self._claim(send, groups, slot))

    async def _claim(self, send: Send, groups: Sequence[ClaimGroup], slot: int) -> list[Claimed]:
        sql = self._sql
        handles = {place for group in groups for place in group.places}
        alive = {row[0] for row in (await send(f"{sql.begin()};{sql.open_handles(handles)}"))[-1]}
        leased: list[Leased] = []
        for group in groups:
            leased += await self._lock(send, group, [place for place in group.places if place in alive])
        if not leased:
            await send("COMMIT")
            return []
        counts: Counter[tuple[int, State]] = Counter()
        for row in leased:
            counts[row.lane, State.PENDING] -= 1
            counts[row.lane, State.RUNNING] += 1
        ids = [row.id for row in leased]
        texts = (sql.envelopes(ids), sql.delete_ready(leased), sql.insert_running(leased), sql.count(counts, slot), "COMMIT")
        found = await send(";".join(texts))
        jobs = {row[0]: row[1:] for row in found[0]}
        return [
            Claimed(row.handle, row.id, row.attempt, row.lane, row.band, row.position, row.failures, row.flags, *jobs[row.id])
            for row in leased
        ]

    async def _lock(self, send: Send, group: ClaimGroup, places: Sequence[int]) -> list[Leased]:
        """Lock rows for these places, probe by probe; where the first does not fill them, empty ones are found out first."""
        taken: list[Leased] = []
        room = group.max_bytes or 1 << 62
        probes = list(group.probes)
        if len(probes) > 2 and places:
            found = {row[0] for row in (await send(self._sql.find(probes)))[0]}
            probes = [probe for i, probe in enumerate(probes) if i in found]
        for probe in probes:
            wanted = len(places) - len(taken)
            if wanted <= 0:
                break
            (rows,) = await send(self._sql.probe(probe, wanted))
            for position, job_id, attempt, failures, crashes, flags, size in rows:
                if size > room and taken:
                    return taken
                room -= size
                handle = places[len(taken)]
                counters = (attempt + 1, failures, crashes, flags)
                taken.append(Leased(handle, position, job_id, probe.lane, probe.band, *counters))
        return taken

    async def complete(self, items: Completions, slot: int) -> Sequence[int] | None:
        """End plain completions; see Store.complete."""
        if not items.ids:
            return []
        return await self._completer.run(lambda send: self._complete(send, items, slot))

    async def _complete(self, send: Send, items: Completions, slot: int) -> Sequence[int] | None:
        sql = self._sql
        found = await send(f"{sql.begin()};{sql.match(items.ids)}")
        stands = {row[0]: row for row in found[-1]}
        ended: list[Ended] = []
        applied: list[int] = []
        now = 0
        for place, (job_id, attempt, handle) in enumerate(zip(*items, strict=True)):
            row = stands.get(job_id)
            if row is not None and row[1] == attempt and row[2] == handle:
                del stands[job_id]  # one attempt named twice: the first place has ended it
                now = row[5]
                ended.append(Ended(job_id, attempt, handle, row[3], row[4]))
                applied.append(place)
        if not ended:
            await send("COMMIT")
            return []
        counts: Counter[tuple[int, State]] = Counter()
        for one in ended:
            counts[one.lane, State.RUNNING] -= 1
            counts[one.lane, State.COMPLETED] += 1
        texts = (
            sql.delete_running(one.id for one in ended),
            sql.insert_done(ended),
            sql.count(counts, slot),
            sql.count_minutes(ended, now, slot),
            sql.log(ended, slot),
            "COMMIT",
        )
        await send(";".join(texts))
        return None if len(applied) == len(items.ids) else applied

    async def maintain(self) -> None:
        """Do nothing: there are no partitions here."""

    def announce(self, lanes: Collection[int]) -> None:
        """Do nothing: MariaDB carries no hints; other replicas poll."""

    async def listen(self, arrived: Callable[[Collection[int]], None]) -> None:
        """Return at once: MariaDB carries no hints."""

    def _make_engine(self, size: int) -> AsyncEngine:
        place = endpoint(self._options.url)
        return create_async_engine(
            place.url,
            hide_parameters=True,
            pool_size=size,
            max_overflow=0,
            pool_timeout=_POOL_SECONDS,
            pool_pre_ping=True,
            pool_recycle=_RECYCLE_SECONDS,
            connect_args={**session_arguments(int(STATEMENT_SECONDS)), **place.tls},
        )


async def _tell_seconds(connection: AsyncConnection, seconds: float) -> None:
    """Set how long a statement of this connection may take, where that is another span by now."""
    known = connection.info
    if known.get(_MOST_SECONDS, STATEMENT_SECONDS) != seconds:
        await connection.execute(text(f"SET SESSION {_MOST_SECONDS}={seconds:.2f}"))
        known[_MOST_SECONDS] = seconds


def _parts(rows: Rows, order: Sequence[int]) -> list[list[int]]:
    """Cut a flush so that no part is too large for a packet; nearly always there is one."""
    parts: list[list[int]] = [[]]
    size = 0
    for i in order:
        size += len(rows.envelopes[i])
        if size > _PACKET_BYTES and parts[-1]:
            parts.append([])
            size = len(rows.envelopes[i])
        parts[-1].append(i)
    return parts


def _refuse_unless_duplicate(error: IntegrityError) -> None:
    if error.args[0] != _DUPLICATE:
        raise error


def refuse_version(version: str) -> None:
    """Raise StoreUnavailable for a server that is not MariaDB, or too old."""
    if "mariadb" not in version.lower():
        raise StoreUnavailable(f"MySQL {version} is not supported yet: it lacks RETURNING; MariaDB 10.6 or newer is needed")
    if tuple(int(part) for part in version.split("-", maxsplit=1)[0].split(".")[:2]) < _OLDEST:
        raise StoreUnavailable(f"MariaDB {version} is too old: 10.6 or newer is needed")


def _check(connection: Connection) -> None:
    """Refuse a server of the wrong version, read-only, or too narrow for a job; warn of one that is not durable."""
    refuse_version(str(connection.execute(text("SELECT version()")).scalar_one()))
    names = ("innodb_flush_log_at_trx_commit", "sync_binlog", "log_bin", "read_only", "max_allowed_packet")
    row = connection.execute(text(f"SELECT {','.join(f'@@{name}' for name in names)}")).one()
    setting = dict(zip(names, map(str, row), strict=True))
    if setting["read_only"] not in {"0", "OFF"}:
        raise StoreUnavailable("this MariaDB is read-only")
    if int(setting["max_allowed_packet"]) < _LEAST_PACKET:
        raise StoreUnavailable(f"max_allowed_packet is {setting['max_allowed_packet']}: 16 MiB or more are needed")
    if setting["innodb_flush_log_at_trx_commit"] != "1":
        _log.warning("innodb_flush_log_at_trx_commit is not 1: a crash of the store loses jobs that were answered")
    if setting["log_bin"] not in {"0", "OFF"} and setting["sync_binlog"] != "1":
        _log.warning("sync_binlog is not 1: a crash of the store may lose jobs that were answered")

"""SQLite: the store of one server. One writer thread takes all that is pending in one transaction; reads have their own thread."""

import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from sqlalchemy import BigInteger, ColumnElement, Connection, func, make_url

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.sql.cold.ends import logging_ends
from protojobs_service.drivers.sql.sqlite_file import FileLock, refuse_network_filesystem
from protojobs_service.drivers.sql.sqlite_statements import Statements
from protojobs_service.drivers.sql.sqlite_thread import Link, SqliteThread, connect
from protojobs_service.drivers.sql.store import Claimed, ClaimGroup, Completions, Inserted, Options, Rows
from protojobs_service.drivers.sql.tables import build
from protojobs_service.port.driver import Pool

T = TypeVar("T")

_OLDEST = (3, 35)  # RETURNING


class SqliteStore:
    """The Store on SQLite: WAL, synchronous=FULL, so that an answered commit outlives a power cut.

    `sqlite://` or `sqlite:///:memory:` keeps everything in memory and runs reads on the writer, too.
    """

    name = "sqlite"

    def __init__(self, options: Options) -> None:
        """Prepare; nothing is opened yet."""
        self.tables = build(prefix=options.prefix)
        database = make_url(options.url).database
        self.id_range: tuple[bytes, bytes] = (b"", b"\xff" * 17)
        self._file = None if database in {None, "", ":memory:"} else Path(str(database)).absolute()
        self._lock = FileLock(self._file) if self._file else None
        self._test_clock = options.test_clock
        self._statements = Statements(self.tables)
        self._writer: SqliteThread | None = None
        self._reader: SqliteThread | None = None

    async def open(self) -> None:
        """Lock the file, connect and check durability. Raises StoreUnavailable."""
        if sqlite3.sqlite_version_info < _OLDEST:
            raise StoreUnavailable(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed")
        if self._file is not None and self._lock is not None:
            refuse_network_filesystem(self._file)
            self._lock.take()
        self._writer = SqliteThread("sqlite-writer", self._connect, writes=True, reconnects=self._file is not None)
        self._reader = SqliteThread("sqlite-reader", self._connect_reader, writes=False) if self._file else None
        try:
            for thread in filter(None, (self._writer, self._reader)):
                thread.start()
                await thread.run(_check)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what is pending and close. Idempotent."""
        for thread in filter(None, (self._reader, self._writer)):
            await thread.stop()
        if self._lock is not None:
            self._lock.release()

    def now(self) -> ColumnElement[int]:
        """Return pj_now(): this process's clock, standing still within one operation."""
        return func.pj_now(type_=BigInteger())

    def pools(self) -> Mapping[str, Pool]:
        """Return its threads, each of which has one connection; what waits goes in the writer's next commit."""
        threads = {"writer": self._writer, "reader": self._reader}
        return {name: thread.load() for name, thread in threads.items() if thread is not None}

    async def run(self, operation: Callable[[Connection], T], *, write: bool = True, vital: bool = False) -> T:  # noqa: ARG002
        """Run a cold operation; see Store.run. Everything that waits goes in one transaction, so nothing is more vital."""
        thread = self._thread(self._writer if write or self._reader is None else self._reader)
        whole = logging_ends(operation) if write else operation
        return await thread.run(lambda link: link.run(whole))

    async def ask(self, operation: Callable[[Connection], T], *, vital: bool = False) -> T:
        """Run a short read; see Store.ask. A transaction is nothing to save here."""
        return await self.run(operation, write=False, vital=vital)

    async def scan(self, operation: Callable[[Connection], T]) -> T:
        """Run a long read on a thread of its own, so that the other reads go on; see Store.scan."""
        if self._reader is None:
            return await self.run(operation, write=False)
        thread = SqliteThread("sqlite-scan", self._connect_reader, writes=False)
        thread.start()
        try:
            return await thread.run(lambda link: link.run(operation))
        finally:
            thread.interrupt()
            await thread.stop()

    async def dispatch(self, rows: Rows, slot: int, *, aside: bool = False) -> Inserted:  # noqa: ARG002 - there is one writer
        """Insert jobs; see Store.dispatch."""
        return await self._thread(self._writer).run(lambda link: self._statements.dispatch(link, rows, slot))

    async def claim(self, groups: Sequence[ClaimGroup], slot: int) -> list[Claimed]:
        """Lease ready jobs; see Store.claim."""
        return await self._thread(self._writer).run(lambda link: self._statements.claim(link, groups, slot))

    async def complete(self, items: Completions, slot: int) -> Sequence[int] | None:
        """End plain completions; see Store.complete."""
        return await self._thread(self._writer).run(lambda link: self._statements.complete(link, items, slot))

    async def maintain(self) -> None:
        """Do nothing: SQLite has no partitions, and freed pages are used again."""

    def announce(self, lanes: Collection[int]) -> None:
        """Do nothing: there is no other replica."""

    async def listen(self, arrived: Callable[[Collection[int]], None]) -> None:
        """Return at once: there is no other replica."""

    def _thread(self, thread: SqliteThread | None) -> SqliteThread:
        if thread is None:
            raise StoreUnavailable("the store is not open")
        return thread

    def _clock(self) -> int:
        offset = self._test_clock[0] if self._test_clock else 0
        return time.time_ns() // 1000 + offset

    def _connect(self) -> Link:
        return Link(connect(self._file), self._clock)

    def _connect_reader(self) -> Link:
        raw = connect(self._file)
        raw.execute("PRAGMA query_only=ON")
        return Link(raw, self._clock)


def _check(link: Link) -> None:
    kept = link.raw.execute("PRAGMA journal_mode").fetchone()[0]
    if kept not in {"wal", "memory"}:
        raise StoreUnavailable("SQLite cannot keep a write-ahead log for this database")

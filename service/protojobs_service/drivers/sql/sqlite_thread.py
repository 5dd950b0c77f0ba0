"""The only file that knows threads: one SQLite connection, owned by one thread, that works off whatever is pending in turns."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine, StaticPool, create_engine

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.sql.errors import translated
from protojobs_service.port.driver import Pool

T = TypeVar("T")

BUSY_SECONDS = 5.0
_CACHE_KIB = 64 * 1024
_CHECKPOINT_PAGES = 4000
_STEPS = 20_000
"""Instructions of SQLite's machine between two questions whether anybody still waits: about 1 ms."""
_WAL_BYTES = 64 * 1024 * 1024

_BROKEN = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOTADB})
"""Result codes after which the connection is opened again."""


class _Dbapi(sqlite3.Connection):
    """A connection whose transactions belong to its thread: SQLAlchemy's commit and rollback change nothing."""

    def commit(self) -> None:
        """Do nothing."""

    def rollback(self) -> None:
        """Do nothing."""


def connect(database: Path | None) -> sqlite3.Connection:
    """Open the database durably (in memory without a path); transactions are ours, not the module's. Raises StoreUnavailable."""
    try:
        return _connect(database)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"cannot open the SQLite database: {error}") from error


def _connect(database: Path | None) -> sqlite3.Connection:
    raw = sqlite3.connect(database or ":memory:", timeout=BUSY_SECONDS, isolation_level=None, cached_statements=256, factory=_Dbapi)
    try:
        if database is not None:
            raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute("PRAGMA temp_store=MEMORY")
        raw.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        raw.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        raw.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
    except BaseException:
        raw.close()
        raise
    return raw


class Link:
    """What work gets: the raw connection, a SQLAlchemy connection inside the same transaction, and the time of its turn."""

    def __init__(self, raw: sqlite3.Connection, clock: Callable[[], int]) -> None:
        """Wrap `raw`; registers pj_now()."""
        self.raw = raw
        self.now = clock()
        self._clock = clock
        self._engine: Engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool, hide_parameters=True)
        raw.create_function("pj_now", 0, lambda: self.now)

    def start(self) -> None:
        """Take the time: it stands still within one piece of work, so that all its rows agree."""
        self.now = self._clock()

    def run(self, operation: Callable[[Connection], T]) -> T:
        """Run a cold operation in the transaction that is open."""
        with self._engine.connect() as connection:
            return operation(connection)

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()
        self.raw.close()


class _Item(Generic[T]):
    __slots__ = ("error", "future", "value", "work")

    def __init__(self, work: Callable[[Link], T], future: asyncio.Future[T]) -> None:
        self.work = work
        self.future = future
        self.value: T | None = None
        self.error: BaseException | None = None


class SqliteThread:
    """Runs work on its connection in the order it came; `run` awaits the answer.

    A writer takes all that is pending in one transaction, each piece in a savepoint, commits once (one fsync) and then answers
    all. A reader runs each piece in a snapshot of its own. A connection that fails is opened again by the next turn.
    """

    def __init__(self, name: str, connect: Callable[[], Link], *, writes: bool, reconnects: bool = True) -> None:
        """Prepare; `reconnects` False for a database that lives in its connection."""
        self._connect = connect
        self._writes = writes
        self._reconnects = reconnects
        self._pending: SimpleQueue[_Item[Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._link: Link | None = None
        self._busy = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Start the thread; answers go to the running loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def load(self) -> Pool:
        """Return its one connection, and what waits for it."""
        return Pool(size=1, used=int(self._busy), waiting=self._pending.qsize())

    async def run(self, work: Callable[[Link], T]) -> T:
        """Run `work` on the thread and return its value once it is committed. Raises StoreUnavailable."""
        if self._loop is None:
            raise StoreUnavailable("the store is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._pending.put(_Item(work, future))
        with translated():
            return await future

    async def stop(self) -> None:
        """Finish what is pending, close the connection and end the thread."""
        if self._loop is None:
            return
        self._loop = None
        self._pending.put(None)
        await asyncio.to_thread(self._thread.join)

    def interrupt(self) -> None:
        """Break off the statement that runs now, if any."""
        if (link := self._link) is not None:
            with contextlib.suppress(sqlite3.Error):  # closed meanwhile
                link.raw.interrupt()

    def _main(self) -> None:
        more = True
        while more:
            items: list[_Item[Any]] = []
            item = self._pending.get()
            with contextlib.suppress(Empty):  # which leaves `item` what it was: not the end
                while item is not None:
                    items.append(item)
                    if not self._writes:
                        break
                    item = self._pending.get_nowait()
            more = item is not None
            if items:
                self._busy = True
                self._turn(items)
                self._busy = False
        self._drop()

    def _turn(self, items: list[_Item[Any]]) -> None:
        try:
            if self._link is None:
                self._link = self._connect()
            (_write if self._writes else _read)(self._link, items)
            for item in items:
                if _code(item.error) in _BROKEN:
                    self._recover(item.error)
        except BaseException as error:  # noqa: BLE001 - a thread must answer whatever happens
            for item in items:
                item.error = StoreUnavailable(error.message if isinstance(error, StoreUnavailable) else "the store does not answer")
                item.error.__cause__ = error
            self._recover(error)
        loop = items[0].future.get_loop()
        with contextlib.suppress(RuntimeError):  # the loop has ended; nobody waits
            loop.call_soon_threadsafe(_answer, items)

    def _recover(self, error: BaseException | None) -> None:
        """Leave no transaction open; give up a connection that is broken (not one that is only locked out)."""
        if self._link is None:
            return
        with contextlib.suppress(sqlite3.Error):
            if self._link.raw.in_transaction:
                self._link.raw.execute("ROLLBACK")
        if _code(error) != sqlite3.SQLITE_BUSY and self._reconnects:
            self._drop()

    def _drop(self) -> None:
        if self._link is not None:
            with contextlib.suppress(sqlite3.Error):
                self._link.close()
            self._link = None


def _write(link: Link, items: list[_Item[Any]]) -> None:
    raw = link.raw
    raw.execute("BEGIN IMMEDIATE")
    for item in items:
        raw.execute("SAVEPOINT item")
        link.start()
        try:
            item.value = item.work(link)
        except BaseException as error:
            if not raw.in_transaction:  # SQLITE_FULL and IOERR may roll back everything
                raise
            raw.execute("ROLLBACK TO item")
            item.error = error
        raw.execute("RELEASE item")
    raw.execute("COMMIT")


def _read(link: Link, items: list[_Item[Any]]) -> None:
    for item in items:
        if item.future.done():  # its caller waits no more, nor does this statement go on once that is so
            continue
        link.raw.set_progress_handler(item.future.done, _STEPS)
        link.start()
        link.raw.execute("BEGIN")
        try:
            item.value = item.work(link)
        except BaseException as error:  # noqa: BLE001 - a thread must answer whatever happens
            item.error = error
        link.raw.set_progress_handler(None, 0)
        if link.raw.in_transaction:
            link.raw.execute("ROLLBACK")


def _answer(items: list[_Item[Any]]) -> None:
    for item in items:
        if item.future.done():
            continue
        if item.error is None:
            item.future.set_result(item.value)
        else:
            item.future.set_exception(item.error)


def _code(error: BaseException | None) -> int:
    """Return the primary result code of a sqlite3 error, bare or wrapped by SQLAlchemy; 0 for others."""
    cause = getattr(error, "orig", error)
    return int(getattr(cause, "sqlite_errorcode", 0)) & 0xFF

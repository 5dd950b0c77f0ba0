"""The outbox table of a PostgreSQL, MariaDB or SQLite database that may belong to anybody."""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Engine,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    create_engine,
    delete,
    event,
    func,
    literal_column,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from protojobs_service.domain.errors import InvalidField
from protojobs_service.drivers.sql.dsn import check, endpoint
from protojobs_service.drivers.sql.errors import translated
from protojobs_service.drivers.sql.mysql_keys import BY_KEY, quoted
from protojobs_service.port.outbox import Fates, Outbox, OutboxRow, OutboxStatus, Send

T = TypeVar("T")

_STATEMENT_SECONDS = 10
_IDLE_SECONDS = 30
"""How long rows stay locked whose relay says nothing any more."""
_MAX_ERROR = 1000

outbox = Table(
    "protojobs_outbox",
    MetaData(),
    Column("seq", BigInteger, primary_key=True),
    Column("id", String(36)),
    Column("queue", String(128)),
    Column("kind", String(128)),
    Column("spec", LargeBinary),
    Column("payload", LargeBinary),
    Column("created_at", Text),
    Column("set_aside_at", Text),
    Column("error", Text),
)
_WAITS = outbox.c.set_aside_at.is_(None)
_AGES = {
    "postgresql": "extract(epoch from clock_timestamp() - min(created_at)) * 1000000",
    "mysql": "timestampdiff(microsecond, min(created_at), current_timestamp(6))",
    "sqlite": "(julianday('now') - julianday(min(created_at))) * 86400000000",
}
_NOW = {"postgresql": "clock_timestamp()", "mysql": "current_timestamp(6)", "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')"}


def open_outbox(dsn: str, *, insecure: bool = False) -> Outbox:
    """Return the outbox of a database, connected when it is first used. Raises InvalidField, which does not say the address.

    insecure: see `dsn.check`.
    """
    try:
        url = make_url(dsn)
        name = url.get_backend_name()
    except (ArgumentError, ValueError):
        raise InvalidField("dsn", "is not postgresql://..., mysql://... or sqlite:///FILE") from None
    check(url, insecure=insecure)
    match name:
        case "postgresql" | "postgres":
            settings = {
                "application_name": "protojobs outbox",
                "statement_timeout": f"{_STATEMENT_SECONDS}s",
                "idle_in_transaction_session_timeout": f"{_IDLE_SECONDS}s",
            }
            return _ServerOutbox(url.set(drivername="postgresql+asyncpg"), {"server_settings": settings})
        case "mysql" | "mariadb":
            from protojobs_service.drivers.sql.mysql_link import session_arguments

            return _ServerOutbox(url.set(drivername="mysql+asyncmy"), session_arguments(_STATEMENT_SECONDS))
        case "sqlite":
            return _FileOutbox(url.set(drivername="sqlite"))
        case _:
            raise InvalidField("dsn", "is not postgresql://..., mysql://... or sqlite:///FILE")


class _ServerOutbox(Outbox):
    """Of a database with row locks: the rows of a batch stay locked until their jobs are stored and they are deleted."""

    def __init__(self, url: URL, arguments: dict[str, Any]) -> None:
        with translated():
            place = endpoint(url)
            # Under REPEATABLE READ InnoDB would lock the gap behind the last row, where everybody inserts.
            self._engine: AsyncEngine = create_async_engine(
                place.url,
                hide_parameters=True,
                pool_size=1,
                pool_pre_ping=True,
                isolation_level="READ COMMITTED",
                connect_args={**arguments, **place.tls},
            )

    async def move(self, limit: int, max_bytes: int, without: Collection[str], send: Send) -> int:
        with translated():
            async with self._engine.begin() as connection:
                rows = await connection.run_sync(lambda c: _lock(c, limit, max_bytes, without))
                if rows:
                    fates = await send(rows)
                    await connection.run_sync(lambda c: _apply(c, fates))
        return len(rows)

    async def status(self) -> OutboxStatus:
        with translated():
            async with self._engine.connect() as connection:
                return await connection.run_sync(_status)

    async def close(self) -> None:
        await self._engine.dispose()


class _FileOutbox(Outbox):
    """Of a SQLite file, which has one lock for all: it is not held while jobs are stored. Two relays may send the same rows."""

    def __init__(self, url: URL) -> None:
        # A file that is not there is not made: it is somebody else's database.
        place = url.set(database=f"file:{quote(url.database or '')}", query={"mode": "rw", "uri": "true"})
        self._engine: Engine = create_engine(
            place, hide_parameters=True, connect_args={"timeout": float(_STATEMENT_SECONDS)}, poolclass=NullPool
        )

        @event.listens_for(self._engine, "connect")
        def _(connection: sqlite3.Connection, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction]
            connection.isolation_level = None

        @event.listens_for(self._engine, "begin")
        def _(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
            connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")

    async def move(self, limit: int, max_bytes: int, without: Collection[str], send: Send) -> int:
        rows = await self._run(lambda c: _lock(c, limit, max_bytes, without), writes=False)
        if rows:
            fates = await send(rows)
            await self._run(lambda c: _apply(c, fates), writes=True)
        return len(rows)

    async def status(self) -> OutboxStatus:
        return await self._run(_status, writes=False)

    async def close(self) -> None:
        self._engine.dispose()

    async def _run(self, operation: Callable[[Connection], T], *, writes: bool) -> T:
        def run() -> T:
            with translated(), self._engine.execution_options(writes=writes).begin() as connection:
                return operation(connection)

        return await asyncio.to_thread(run)


def _lock(c: Connection, limit: int, max_bytes: int, without: Collection[str]) -> Sequence[OutboxRow]:
    """Return the first rows that nobody else has locked, locked where there are locks; their bytes are read once they are known."""
    size = func.coalesce(func.length(outbox.c.spec), 0) + func.coalesce(func.length(outbox.c.payload), 0)
    first = select(outbox.c.seq, size.label("size")).where(_WAITS).order_by(outbox.c.seq).limit(limit)
    first = first.with_hint(outbox, "FORCE INDEX (protojobs_outbox_order)", "mysql").with_for_update(skip_locked=True)
    if without:
        first = first.where(outbox.c.queue.not_in(sorted(without)))
    chosen: list[int] = []
    total = 0
    for row in c.execute(first):
        total += int(row.size)
        if chosen and total > max_bytes:
            break
        chosen.append(row.seq)
    if not chosen:
        return ()
    rows = c.execute(select(*(outbox.c[name] for name in OutboxRow._fields)).where(outbox.c.seq.in_(chosen)).order_by(outbox.c.seq))
    return [OutboxRow(row.seq, row.id, row.queue, row.kind, _bytes(row.spec) or b"", _bytes(row.payload)) for row in rows]


def _bytes(value: Any) -> bytes | None:
    """Return a column's bytes: SQLite keeps a text as a text, whatever the column is."""
    return value.encode() if isinstance(value, str) else value


def _apply(c: Connection, fates: Fates) -> None:
    _delete(c, fates.gone)
    if fates.aside:
        now: ColumnElement[Any] = literal_column(_NOW[c.dialect.name])
        noted = update(outbox).where(outbox.c.seq == bindparam("row")).values(set_aside_at=now, error=bindparam("why"))
        c.execute(noted, [{"row": seq, "why": why.replace("\0", "")[:_MAX_ERROR]} for seq, why in fates.aside])


def _delete(c: Connection, gone: Sequence[int]) -> None:
    if not gone:
        return
    if c.dialect.name == "mysql":  # by key, however small the table is: rows that others write must not be waited for
        keys = " UNION ALL ".join(f"SELECT {int(seq)} AS i" for seq in gone)
        c.execute(text(f"DELETE r FROM ({keys}) k STRAIGHT_JOIN {quoted(outbox)} r {BY_KEY} ON r.seq=k.i"))
    else:
        c.execute(delete(outbox).where(outbox.c.seq.in_(gone)))


def _status(c: Connection) -> OutboxStatus:
    age: ColumnElement[Any] = literal_column(_AGES[c.dialect.name])
    waiting, oldest = c.execute(select(func.count(), age).select_from(outbox).where(_WAITS)).one()
    aside = c.execute(select(func.count()).select_from(outbox).where(~_WAITS)).scalar_one()
    return OutboxStatus(waiting, None if oldest is None else timedelta(microseconds=max(0, int(oldest))), aside)

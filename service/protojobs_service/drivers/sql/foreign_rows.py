"""Rows of another program's table: read in the order of their key, and deleted when they were taken over."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, NullPool, column, create_engine, delete, inspect, make_url, select, table, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from protojobs_service.domain.errors import InvalidField
from protojobs_service.drivers.sql.dsn import check, endpoint
from protojobs_service.drivers.sql.errors import translated

T = TypeVar("T")

_ASYNC_DRIVERS = {"postgresql": "postgresql+asyncpg", "mysql": "mysql+asyncmy", "mariadb": "mysql+asyncmy"}


class ForeignTable:
    """One table with a unique key of one column. Names are quoted, never pasted."""

    def __init__(self, run: "Callable[[Callable[[Connection], Any]], Any]", name: str, key: str) -> None:
        schema, dot, plain = name.rpartition(".")
        self._run = run
        self._name, self._schema = plain, schema if dot else None
        self._table = table(plain, schema=self._schema)
        self._key: Any = column(key)

    async def exists(self) -> bool:
        """Tell whether the table is there. Raises JobsError."""
        with translated():
            return bool(await self._run(lambda c: inspect(c).has_table(self._name, schema=self._schema)))

    async def pages(self, size: int) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        """Yield all rows by their key, `size` at a time. Raises JobsError, and ValueError where the key is no column."""
        statement: Any = select(text("*")).select_from(self._table).order_by(self._key).limit(size)
        page = await self._read(statement)
        while page:
            if self._key.name not in page[0]:  # SQLite takes an unknown name for a text
                raise ValueError(f"table {self._name} has no column {self._key.name}")
            yield page
            page = await self._read(statement.where(self._key > page[-1][self._key.name]))

    async def delete(self, keys: Sequence[Any]) -> None:
        """Delete rows by key. Raises JobsError."""
        if keys:
            with translated():
                await self._run(lambda c: c.execute(delete(self._table).where(self._key.in_(keys))))

    async def _read(self, statement: Any) -> Sequence[Mapping[str, Any]]:
        with translated():
            rows: Sequence[Mapping[str, Any]] = await self._run(lambda c: [dict(row) for row in c.execute(statement).mappings()])
            return rows


@asynccontextmanager
async def foreign_tables(dsn: str, *, insecure: bool = False) -> AsyncGenerator[Callable[[str, str], ForeignTable]]:
    """Give a function that opens tables of the database by name and key. Raises ValueError for a DSN that is none.

    insecure: see `dsn.check`.
    """
    try:
        url = make_url(dsn)
        backend = url.get_backend_name()
    except Exception as error:  # the library raises several kinds, which quote the DSN and its password
        raise ValueError("the DSN is not understood") from error
    if backend == "sqlite":
        engine = _open_file(url)

        async def on_sqlite(operation: Callable[[Connection], T]) -> T:
            with engine.begin() as connection:
                return operation(connection)

        yield lambda name, key: ForeignTable(on_sqlite, name, key)
        engine.dispose()
    elif backend in _ASYNC_DRIVERS:
        try:
            check(url, insecure=insecure)
            place = endpoint(url.set(drivername=_ASYNC_DRIVERS[backend]))
        except InvalidField as error:
            raise ValueError(str(error)) from None
        try:
            server = create_async_engine(place.url, hide_parameters=True, poolclass=NullPool, connect_args=dict(place.tls))
        except ImportError as error:
            raise ValueError(f"reading {backend} needs the extra of its driver: {error}") from error
        try:
            yield lambda name, key: ForeignTable(_runner(server), name, key)
        finally:
            await server.dispose()
    else:
        raise ValueError("the DSN is of no database that can be read: sqlite, postgresql, mysql, mariadb")


def _open_file(url: URL) -> Engine:
    if not Path(url.database or "").is_file():  # opening it would make it
        raise ValueError("there is no such SQLite file")
    return create_engine(url.set(drivername="sqlite"), hide_parameters=True, poolclass=NullPool)


def _runner(engine: AsyncEngine) -> Callable[[Callable[[Connection], Any]], Any]:
    async def run(operation: Callable[[Connection], Any]) -> Any:
        async with engine.begin() as connection:
            return await connection.run_sync(operation)

    return run

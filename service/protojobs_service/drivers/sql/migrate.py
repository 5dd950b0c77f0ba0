"""Bringing a database to the schema of this build, and telling whether it has it.

Every table has the prefix and lies in the schema (PostgreSQL), the table of the version too, so that others may live beside it.
"""

import sqlite3
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, String, Table, create_engine, event, func, inspect, make_url, select
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.sql.dsn import endpoint
from protojobs_service.drivers.sql.errors import translated

T = TypeVar("T")

_REVISIONS = Path(__file__).parent / "migrations"
_BUSY_SECONDS = 10.0
_TURN_SECONDS = 60
_DDL_SECONDS = 3600


class Schema(Enum):
    """How the schema of a database stands to the one that this build needs."""

    CURRENT = "current"
    MISSING = "missing"
    OLDER = "older"
    AHEAD = "ahead"
    """Newer, and made so that this build may serve from it."""
    NEWER = "newer"


async def upgrade(url: str, *, schema: str | None = None, prefix: str = "") -> str:
    """Bring the database to the schema of this build in one transaction, and return its revision.

    A schema that is ahead of this build is left as it is. MariaDB commits each statement by itself: there an interrupted run is
    finished by the next one. Safe to repeat and to run on several machines at once: they take turns. Raises StoreUnavailable for
    a newer schema.
    """

    def run(connection: Connection) -> str:
        _take_turns(connection, schema, prefix)
        found = standing(connection, schema, prefix)
        refuse(found, Schema.NEWER)
        if found is Schema.AHEAD:
            return _version(connection, schema, prefix)[0] or head()
        if schema is not None:
            connection.execute(CreateSchema(schema, if_not_exists=True))
        config = _config()
        config.attributes.update(connection=connection, schema=schema, prefix=prefix, version_table=_version_table(prefix))
        command.upgrade(config, "head")
        return head()

    return await _run(url, run)


async def current(url: str, *, schema: str | None = None, prefix: str = "") -> str | None:
    """Return the revision of the database's schema; None where it has none."""
    return await _run(url, lambda connection: _version(connection, schema, prefix)[0])


async def check(url: str, *, schema: str | None = None, prefix: str = "") -> Schema:
    """Tell how the schema of the database stands to the one that this build needs."""
    return await _run(url, lambda connection: standing(connection, schema, prefix))


def standing(connection: Connection, schema: str | None, prefix: str) -> Schema:
    """Tell the same of an open connection's database."""
    revision, serves_from = _version(connection, schema, prefix)
    if revision is None:
        return Schema.MISSING
    if revision == head():
        return Schema.CURRENT
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision in known:
        return Schema.OLDER
    return Schema.AHEAD if serves_from in known else Schema.NEWER


def refuse(found: Schema, *refused: Schema) -> None:
    """Raise StoreUnavailable, with what to do, where the schema is one of `refused`."""
    if found in refused:
        remedy = "install a newer build" if found is Schema.NEWER else "run `protojobs migrate upgrade`"
        raise StoreUnavailable(f"the schema of the database is {found.value}: {remedy}")


def head() -> str:
    """Return the revision that this build needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None, "the package holds at least one revision"
    return revision


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_REVISIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _version_table(prefix: str) -> str:
    """Not alembic's own name: the application beside us may use that."""
    return f"{prefix}protojobs_version"


def _version(connection: Connection, schema: str | None, prefix: str) -> tuple[str | None, str | None]:
    """Return the revision, and that from which on builds may serve; None for what the database does not say."""
    name, inspector = _version_table(prefix), inspect(connection)
    if not inspector.has_table(name, schema=schema):
        return None, None
    columns = [Column(column["name"], String) for column in inspector.get_columns(name, schema=schema)]
    row = connection.execute(select(Table(name, MetaData(), *columns, schema=schema))).mappings().one_or_none()
    return (None, None) if row is None else (row["version_num"], row.get("serves_from"))


def _take_turns(connection: Connection, schema: str | None, prefix: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"protojobs migrate {schema}.{prefix}"))))
    if connection.dialect.name == "mysql":
        # Held until the connection is closed: every statement that changes a table commits.
        name = func.md5(func.concat("protojobs migrate ", func.database(), ".", prefix))
        if connection.execute(select(func.get_lock(name, _TURN_SECONDS))).scalar() != 1:
            raise StoreUnavailable("another migration of this database does not end")


async def _run(url: str, operation: Callable[[Connection], T]) -> T:
    with translated():
        if make_url(url).get_backend_name() == "sqlite":
            return _run_on_sqlite(url, operation)
        place = endpoint(url)
        engine = create_async_engine(
            place.url, hide_parameters=True, poolclass=NullPool, connect_args={**_session(url), **place.tls}
        )
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(operation)
        finally:
            await engine.dispose()


def _session(url: str) -> dict[str, Any]:
    if make_url(url).get_backend_name() != "mysql":
        return {}
    from protojobs_service.drivers.sql.mysql_link import session_arguments

    return session_arguments(_DDL_SECONDS)


def _run_on_sqlite(url: str, operation: Callable[[Connection], T]) -> T:
    engine = create_engine(
        make_url(url).set(drivername="sqlite"),
        hide_parameters=True,
        connect_args={"timeout": _BUSY_SECONDS},
        poolclass=NullPool,
    )

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        # The module would commit before every DDL statement; so transactions are begun by us, and the lock is taken with it.
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with engine.begin() as connection:
            return operation(connection)
    finally:
        engine.dispose()

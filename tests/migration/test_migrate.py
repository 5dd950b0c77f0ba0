"""What `protojobs migrate` promises."""

import asyncio
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from protojobs_service.drivers.sql.migrate import Schema, check, current, head, upgrade
from protojobs_service.drivers.sql.tables import build
from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.migration.conftest import Database

pytestmark = pytest.mark.asyncio

PREFIX = "pj_"


def _look(connection: Connection, schema: str | None = None, prefix: str = "") -> dict[str, Any]:
    """Return what the database says of our tables, without the version's."""
    inspector = inspect(connection)
    names = [name for name in inspector.get_table_names(schema=schema) if name.startswith(prefix) and not name.endswith("_version")]
    return {
        name.removeprefix(prefix): {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"], _default(column["default"], schema, prefix))
                for column in inspector.get_columns(name, schema=schema)
            ],
            "key": inspector.get_pk_constraint(name, schema=schema)["constrained_columns"],
            "unique": sorted(found["column_names"] for found in inspector.get_unique_constraints(name, schema=schema)),
            "indexes": sorted(
                (str(found["name"]).removeprefix(prefix), found["column_names"]) for found in _indexes(inspector, name, schema)
            ),
        }
        for name in names
    }


def _indexes(inspector: Any, name: str, schema: str | None) -> list[Any]:
    return [found for found in inspector.get_indexes(name, schema=schema) if not found.get("duplicates_constraint")]


def _default(text_of: str | None, schema: str | None, prefix: str) -> str | None:
    """Return a default without the name of the sequence, which differs by schema and prefix."""
    return "nextval" if text_of is not None and "nextval" in text_of else text_of


async def test_migrated_schema_is_the_one_of_the_tables(database: Database) -> None:
    ours = build(clustered=database.is_mariadb).metadata
    await upgrade(database.url)

    migrated = await database.run(_look)
    differences = await database.run(lambda c: compare_metadata(MigrationContext.configure(c), ours))

    def rebuild(connection: Connection) -> None:
        everything = MetaData()
        everything.reflect(connection)
        everything.drop_all(connection)
        ours.create_all(connection)

    await database.run(rebuild)
    assert migrated == await database.run(_look)
    assert [d for d in differences if not _is_version_table(d)] == []  # type: ignore[attr-defined]


def _is_version_table(difference: Any) -> bool:
    return bool(difference[0] == "remove_table" and difference[1].name.endswith("_version"))


async def test_every_table_is_there_and_known(database: Database) -> None:
    assert await check(database.url) is Schema.MISSING
    assert await current(database.url) is None

    revision = await upgrade(database.url)

    assert revision == head() == await current(database.url)
    assert await check(database.url) is Schema.CURRENT
    assert set(await database.run(_look)) == set(build().metadata.tables)  # type: ignore[call-overload]


async def test_second_upgrade_changes_nothing(database: Database) -> None:
    await upgrade(database.url)
    before = await database.run(_look)

    await upgrade(database.url)

    assert await database.run(_look) == before


async def test_upgrades_at_the_same_time_take_turns(database: Database) -> None:
    revisions = await asyncio.gather(*(upgrade(database.url) for _ in range(3)))

    assert revisions == [head()] * 3
    assert await check(database.url) is Schema.CURRENT


async def test_prefixed_tables_stand_beside_others(database: Database) -> None:
    def theirs(connection: Connection) -> None:
        for name in ("job", "session", "alembic_version"):
            connection.execute(text(f"CREATE TABLE {name} (theirs text)"))
            connection.execute(text(f"INSERT INTO {name} VALUES ('kept')"))

    await database.run(theirs)

    await upgrade(database.url, prefix=PREFIX)

    assert await check(database.url, prefix=PREFIX) is Schema.CURRENT
    assert await check(database.url) is Schema.MISSING
    ours = await database.run(lambda c: _look(c, prefix=PREFIX))
    assert set(ours) == set(build().metadata.tables)  # type: ignore[call-overload]
    for name in ("job", "session", "alembic_version"):
        rows = await database.run(lambda c, name=name: c.execute(text(f"SELECT theirs FROM {name}")).all())  # type: ignore[misc]
        assert rows == [("kept",)]


async def test_two_prefixes_live_in_one_database(database: Database) -> None:
    await upgrade(database.url, prefix=PREFIX)
    await upgrade(database.url, prefix="other_")

    ours = await database.run(lambda c: _look(c, prefix=PREFIX))
    others = await database.run(lambda c: _look(c, prefix="other_"))

    assert ours == others


@pytest.mark.postgres
async def test_schema_keeps_everything_in_one_place(postgres_dsn: str) -> None:
    await upgrade(postgres_dsn, schema="jobs")

    assert await check(postgres_dsn, schema="jobs") is Schema.CURRENT
    assert await check(postgres_dsn) is Schema.MISSING


@pytest.mark.postgres
async def test_job_and_done_are_partitioned_and_hot_tables_are_tuned(postgres_dsn: str) -> None:
    await upgrade(postgres_dsn, schema="jobs", prefix=PREFIX)

    engine = create_async_engine(postgres_dsn)
    async with engine.connect() as connection:
        rows = await connection.execute(
            text(
                "select relname::text, relkind::text, array_to_string(reloptions, ' ') from pg_class"
                " where relnamespace = 'jobs'::regnamespace"
            )
        )
        found = {name: (kind, options) for name, kind, options in rows}
    await engine.dispose()
    assert {name for name, (kind, _) in found.items() if kind == "p"} == {"pj_job", "pj_done"}
    assert "fillfactor=50" in found["pj_counter"][1]
    for name in ("pj_ready", "pj_running", "pj_due", "pj_counter"):
        assert "autovacuum_vacuum_scale_factor=0" in found[name][1]


@pytest.mark.mariadb
async def test_run_that_was_cut_short_on_mariadb_is_finished_by_the_next(mariadb_dsn: str) -> None:
    """MariaDB commits each statement by itself, so that the first half of a revision may stand."""
    await upgrade(mariadb_dsn)
    engine = create_async_engine(mariadb_dsn)
    async with engine.begin() as connection:
        whole = await connection.run_sync(_look)
        for statement in (
            "DELETE FROM protojobs_version",
            "DROP TABLE fleet",
            "DROP TABLE counter",
            "DROP INDEX handle_session ON handle",
        ):
            await connection.execute(text(statement))

    await upgrade(mariadb_dsn)

    async with engine.begin() as connection:
        assert await connection.run_sync(_look) == whole
    await engine.dispose()
    assert await check(mariadb_dsn) is Schema.CURRENT


@pytest.mark.mariadb
async def test_tables_on_mariadb_compare_byte_by_byte_whatever_the_database_does(mariadb_dsn: str) -> None:
    engine = create_async_engine(mariadb_dsn)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER DATABASE CHARACTER SET latin1 COLLATE latin1_swedish_ci"))

    await upgrade(mariadb_dsn)

    async with engine.connect() as connection:
        where = "WHERE table_schema = database() AND table_name <> 'protojobs_version'"
        tables = await connection.execute(
            text(f"SELECT table_name, engine, row_format, table_collation FROM information_schema.tables {where}")
        )
        assert {tuple(row[1:]) for row in tables} == {("InnoDB", "Dynamic", "utf8mb4_bin")}
        columns = await connection.execute(text(f"SELECT collation_name FROM information_schema.columns {where}"))
        assert {name for (name,) in columns} == {None, "utf8mb4_bin", "utf8mb4_nopad_bin"}
    await engine.dispose()


@pytest.mark.postgres
async def test_side_notes_on_postgres_are_ordered_byte_by_byte_whatever_the_database_does(postgres_dsn: str) -> None:
    await upgrade(postgres_dsn)

    engine = create_async_engine(postgres_dsn)
    async with engine.connect() as connection:
        where = "WHERE table_name = 'side_note' AND column_name = 'name'"
        found = await connection.execute(text(f"SELECT collation_name::text FROM information_schema.columns {where}"))
        assert found.scalars().all() == ["C"]
    await engine.dispose()

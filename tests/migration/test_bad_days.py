"""Migrations that die, that meet, and servers whose schema is of another build."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from protojobs_service.compose import start_server
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.sql.migrate import Schema, check, current, head, upgrade
from protojobs_service.settings import Settings, load
from sqlalchemy import Connection, MetaData, text

from tests.chaos.processes import clean_environment
from tests.migration.conftest import Database
from tests.migration.test_migrate import _look

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.asyncio


def settings_of(database: Database) -> Settings:
    """Return the settings of a server on this database, whose tables are where `upgrade` puts them without a schema."""
    ports: dict[str, Any] = {"port": 0, "admin_port": 0, "shutdown": {"grace": 1}}
    if database.is_postgres:
        dsn = database.url.replace("postgresql+asyncpg", "postgresql")
        return load(driver="postgres", postgres={"dsn": dsn, "schema_name": "public"}, **ports)
    if database.is_mariadb:
        return load(driver="mysql", mysql={"dsn": database.url.replace("mysql+asyncmy", "mysql")}, **ports)
    return load(driver="sqlite", sqlite={"path": database.url.removeprefix("sqlite:///")}, **ports)


async def serve(database: Database) -> None:
    """Start a server and end it."""
    async with start_server(settings_of(database)):
        pass


async def say(database: Database, statement: str) -> None:
    """Run one statement."""
    await database.run(lambda c: c.execute(text(statement)))


async def migrate(database: Database, *, killed_before: int = 0) -> int | None:
    """Migrate in a process of its own, which may die before its change of a number, from 1; return how it ended."""
    command = ["-m", "tests.migration.killed_program", database.url, str(killed_before)]
    running = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT, env=clean_environment())
    return await running.wait()


def _drop_all(connection: Connection) -> None:
    everything = MetaData()
    everything.reflect(connection)
    everything.drop_all(connection)


@pytest.mark.kill
@pytest.mark.parametrize("place", [1, 2, 25, 60])
async def test_a_migration_that_was_killed_is_finished_by_the_next_one(database: Database, place: int) -> None:
    assert await migrate(database, killed_before=place) == -signal.SIGKILL

    assert await check(database.url) is not Schema.CURRENT
    if not database.is_mariadb:
        assert await check(database.url) is Schema.MISSING  # it was one transaction
    with pytest.raises(StoreUnavailable, match="run `protojobs migrate upgrade`"):
        await serve(database)
    await upgrade(database.url)

    finished = await database.run(_look)
    assert await check(database.url) is Schema.CURRENT
    await database.run(_drop_all)
    await upgrade(database.url)
    assert finished == await database.run(_look)
    await serve(database)


@pytest.mark.kill
async def test_migrations_of_several_machines_at_once_take_turns(database: Database) -> None:
    assert await asyncio.gather(*(migrate(database) for _ in range(3))) == [0, 0, 0]
    assert await check(database.url) is Schema.CURRENT


async def test_a_server_refuses_the_schema_of_an_older_build_and_says_what_to_do(database: Database) -> None:
    await upgrade(database.url)
    await say(database, "UPDATE protojobs_version SET version_num = '0001'")

    with pytest.raises(StoreUnavailable, match="is older: run `protojobs migrate upgrade`"):
        await serve(database)


async def test_a_server_refuses_the_schema_of_a_build_that_has_taken_something_away(database: Database) -> None:
    await upgrade(database.url)
    await say(database, "UPDATE protojobs_version SET version_num = '9999', serves_from = '9998'")

    assert await check(database.url) is Schema.NEWER
    for refused in (serve(database), upgrade(database.url)):
        with pytest.raises(StoreUnavailable, match="is newer: install a newer build"):
            await refused


async def test_a_server_serves_from_the_schema_of_a_newer_build_that_lets_it(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await upgrade(database.url)
    await say(database, f"UPDATE protojobs_version SET version_num = '9999', serves_from = '{head()}'")

    assert await check(database.url) is Schema.AHEAD
    await serve(database)
    assert "lets this one serve" in caplog.text
    assert await upgrade(database.url) == "9999" == await current(database.url)


async def test_a_schema_from_before_the_rule_is_brought_to_it(database: Database) -> None:
    await upgrade(database.url)
    await say(database, "ALTER TABLE protojobs_version DROP COLUMN serves_from")
    await say(database, "UPDATE protojobs_version SET version_num = '0009'")
    assert await check(database.url) is Schema.OLDER

    await upgrade(database.url)

    await say(database, "UPDATE protojobs_version SET version_num = '9999'")
    assert await check(database.url) is Schema.AHEAD

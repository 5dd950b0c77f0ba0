"""Plans that were made while nothing ran or waited must do when much does; beside `test_postgres_plans`, without the store."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from protojobs_service.drivers.sql.cold.lanes import FLEET
from protojobs_service.drivers.sql.cold.rescue import may_rescue_statement
from protojobs_service.drivers.sql.cold.signs import signs_statement
from protojobs_service.drivers.sql.postgres_link import PLANNER, connect_arguments
from protojobs_service.drivers.sql.postgres_statements import CLOCK, Statements, quoted, render
from protojobs_service.drivers.sql.store import Options
from protojobs_service.drivers.sql.tables import Tables
from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql

from tests.plans.trees import nodes
from tests.unit.drivers.kit import opened, store_of

pytestmark = [pytest.mark.asyncio, pytest.mark.postgres]

_FOUND_BY_KEY = ("counter", "event_slot", "handle", "job", "ready", "running")


@pytest_asyncio.fixture
async def tables(postgres_dsn: str) -> AsyncIterator[Tables]:
    """Make the tables of a store."""
    async with opened(postgres_dsn) as ground:
        yield ground.store.tables


@pytest_asyncio.fixture
async def planner(postgres_dsn: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Connect as the hot statements do."""
    connection = await asyncpg.connect(**connect_arguments(postgres_dsn), server_settings=dict(PLANNER))
    try:
        yield connection
    finally:
        await connection.close()


def hot(statements: Statements) -> Iterator[tuple[str, str, bool]]:
    """Yield each hot statement with its name, and whether its connection may hash."""
    for (handles, policies, accepted), text in statements.dispatch.items():
        yield f"dispatch handles={handles} policies={policies} accepted={accepted}", text, True
    for (handles, policies, accepted), text in statements.dispatch_aside.items():
        yield f"dispatch aside handles={handles} policies={policies} accepted={accepted}", text, True
    for bounded, text in statements.claim.items():
        yield f"claim bounded={bounded}", text, False
    yield "claim of several groups", statements.claim_several, False
    yield "complete", statements.complete, False


def read_whole(tables: Tables, plan: dict[str, Any]) -> list[str]:
    """Return the relations that a plan reads from one end to the other, of those that are large when much waits or runs."""
    names = {quoted(getattr(tables, name)).rpartition(".")[2].strip('"') for name in _FOUND_BY_KEY}
    return [
        node["Relation Name"]
        for node in nodes(plan)
        if "Scan" in node["Node Type"]
        and re.sub(r"_\d+$", "", node.get("Relation Name", "")) in names
        and not ({"Index Cond", "TID Cond"} & node.keys())
    ]


async def test_plans_that_are_made_on_an_empty_store_read_no_table_as_a_whole(
    tables: Tables, planner: "asyncpg.Connection[Any]"
) -> None:
    await planner.execute("analyze")
    wrong: dict[str, list[str]] = {}

    for number, (name, text, may_hash) in enumerate(hot(render(tables, clock=CLOCK))):
        await planner.execute(f"set enable_hashjoin = {'on' if may_hash else 'off'}")
        await planner.execute(f"prepare s{number} as {text}")
        nothing = ",".join(["null"] * len(set(re.findall(r"\$\d+", text))))
        plan = json.loads(await planner.fetchval(f"explain (format json) execute s{number}({nothing})"))[0]["Plan"]
        by_place = any(node["Node Type"] == "Tid Scan" and node["Relation Name"] == tables.counter.name for node in nodes(plan))
        assert by_place == ("aside" not in name)
        if found := read_whole(tables, plan):
            wrong[name] = found

    assert not wrong


HOUR_AHEAD = "extract(epoch from now() + interval '1 hour') * 1000000 + n"
GONE = {
    "due": ("due_at", f"{HOUR_AHEAD}, 1, 1, 1, 0, 0, 0, 0, 1"),
    "deadline": ("expire_at", HOUR_AHEAD),
    "running": ("id", "100 + n % 20, 1, n, 1, 1, 1, 0, 0, 0"),
}
"""Tables, an order of theirs, and their columns after the id for each n."""


@pytest.mark.parametrize("name", ["signs", "may_rescue"])
async def test_a_look_reads_some_pages_however_much_waits_or_has_gone(tables: Tables, postgres_dsn: str, name: str) -> None:
    make = {"signs": signs_statement, "may_rescue": may_rescue_statement}[name]
    dialect: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call] # SQLAlchemy says nothing of it
    statement = make(tables, store_of(Options(url=postgres_dsn)).now)
    text = str(statement.params(since=0).compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    now = CLOCK.removesuffix("::bigint")
    connection = await asyncpg.connect(**connect_arguments(postgres_dsn))
    holder = await asyncpg.connect(**connect_arguments(postgres_dsn))
    try:
        fleet = f"insert into {quoted(tables.fleet)} (id, settings_version, beat_at, incarnation) values ({FLEET}, 1, {now}, 'x')"
        await connection.execute(fleet)
        handles = f"insert into {quoted(tables.handle)} (session, closed_at) select 1, {now} from generate_series(1, 20)"
        await connection.execute(handles)
        async with holder.transaction(isolation="repeatable_read"):
            await holder.execute("select 1 from pg_class")  # from here on nothing that is deleted can be cleaned away
            for table, (order, values) in GONE.items():
                where = quoted(getattr(tables, table))
                await connection.execute(f"insert into {where} select gen_random_uuid(), {values} from generate_series(1, 20000) n")
                left = 10_000 if table != "running" else 0
                some = f"select ctid from {where} order by {order} limit {20_000 - left}"
                await connection.execute(f"delete from {where} where ctid in ({some})")
            await connection.execute("analyze")
            explained = await connection.fetchval(f"explain (analyze, buffers, format json) {text}")
    finally:
        await holder.close()
        await connection.close()

    plan = json.loads(explained)[0]["Plan"]
    assert plan["Actual Rows"] == 1
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 120

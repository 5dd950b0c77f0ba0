"""The plans of the hot statements: made while nothing ran or waited, they must do when much does."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from protojobs_service.drivers.sql.postgres_link import PLANNER, connect_arguments
from protojobs_service.drivers.sql.postgres_statements import CLOCK, Statements, quoted, render
from protojobs_service.drivers.sql.tables import Tables

from tests.unit.drivers.kit import opened

pytestmark = pytest.mark.asyncio

_FOUND_BY_KEY = ("handle", "job", "ready", "running")


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
    for bounded, text in statements.claim.items():
        yield f"claim bounded={bounded}", text, False
    yield "claim of several groups", statements.claim_several, False
    yield "complete", statements.complete, False


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a node of a plan and all below it."""
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


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
        assert list(nodes(plan))
        if found := read_whole(tables, plan):
            wrong[name] = found

    assert not wrong

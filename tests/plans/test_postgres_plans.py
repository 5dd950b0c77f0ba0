"""The plans of the hot statements on PostgreSQL: what a claim and a completion read, as prepared by the store itself.

A generic plan is made once, on whatever the tables hold then, and kept: so the same prepared statement is explained on an empty
database, with 100 000 jobs waiting, and while an old snapshot keeps 20 000 claimed rows from being cleaned up.
"""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from protojobs_service.drivers.sql.postgres import PostgresStore
from protojobs_service.drivers.sql.postgres_link import HotLink, connect_arguments
from protojobs_service.drivers.sql.store import Claimed, Completions
from sqlalchemy import text

from tests.plans.trees import nodes
from tests.unit.drivers.kit import BAND, LANE, Ground, completions, group, new_id, new_ids, opened, rows

pytestmark = [pytest.mark.asyncio, pytest.mark.postgres]

BATCH = 500
WRITES = {f"CTE {name}" for name in "rgcem"}
BUFFERS_A_CLAIM = 18  # 12 measured
BUFFERS_A_COMPLETION = 13  # 8 measured
BUFFERS_A_DISPATCH = 16  # 10 measured, 11 with handles


@pytest_asyncio.fixture
async def ground(postgres_dsn: str) -> AsyncIterator[Ground]:
    """Open the store; its hot statements are prepared on the empty database."""
    async with opened(postgres_dsn) as ground:
        handle = await ground.add_handle()
        assert await ground.store.claim([group(handle)], 1) == []
        assert await ground.store.claim([group(handle)._replace(max_bytes=1)], 1) == []
        assert await ground.store.claim([group(handle), group(handle, lanes=(2,))], 1) == []
        await ground.store.complete(Completions([new_id()], [1], [handle]), 2)
        yield ground


@pytest_asyncio.fixture
async def other(postgres_dsn: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Connect as somebody else."""
    connection = await asyncpg.connect(**connect_arguments(postgres_dsn))
    yield connection
    await connection.close()


async def test_on_an_empty_database(ground: Ground) -> None:
    claims = [await explain_claim(ground, 1), await explain_claim(ground, 1, bounded=True), await explain_claims(ground)]

    assert [scanned(plan) for plan in (*claims, await explain_completion(ground, []))] == [set()] * 4


async def test_with_a_hundred_thousand_jobs_waiting(ground: Ground) -> None:
    await fill(ground, 100_000)

    claim = await explain_claim(ground, BATCH)
    bounded = await explain_claim(ground, BATCH, bounded=True)
    claims = await explain_claims(ground)
    leased = await ground.store.claim([group(*[1] * BATCH)], 1)
    completion = await explain_completion(ground, leased)

    assert [scanned(plan) for plan in (claim, bounded, claims, completion)] == [set()] * 4
    assert rows_of(claim) == BATCH
    assert buffers(claim) / BATCH < BUFFERS_A_CLAIM
    assert buffers(completion) / BATCH < BUFFERS_A_COMPLETION


async def test_with_statistics_of_a_full_database(ground: Ground) -> None:
    """A replica that starts late prepares its statements on full, analysed tables."""
    await fill(ground, 100_000)
    await ground.store.run(lambda c: c.execute(text("analyze")))
    for link in links(ground).values():
        await link.close()
        link.start()
    await ground.store.claim([group(1)], 1)
    await ground.store.claim([group(1), group(1, lanes=(2,))], 1)
    await ground.store.complete(Completions([new_id()], [1], [1]), 2)

    claim = await explain_claim(ground, BATCH)
    completion = await explain_completion(ground, await ground.store.claim([group(*[1] * BATCH)], 1))

    assert scanned(claim) | scanned(completion) == set()
    assert buffers(claim) / BATCH < BUFFERS_A_CLAIM
    assert buffers(completion) / BATCH < BUFFERS_A_COMPLETION


async def test_under_an_old_snapshot_a_claim_does_not_walk_what_others_have_taken(
    ground: Ground, other: "asyncpg.Connection[Any]"
) -> None:
    await fill(ground, 30_000)
    async with other.transaction(isolation="repeatable_read"):
        await other.fetch("select count(*) from job")
        low = 0
        for _ in range(40):
            claimed = await ground.store.claim([group(*[1] * BATCH, low=low)], 1)
            assert await ground.store.complete(completions(claimed), 2) is None
            low = claimed[-1].position

        claim = await explain_claim(ground, BATCH, low)
        without_mark = await explain_claim(ground, BATCH)
        completion = await explain_completion(ground, await ground.store.claim([group(*[1] * BATCH, low=low)], 1))

    assert scanned(claim) | scanned(completion) == set()
    assert rows_of(claim) == BATCH
    assert buffers(claim) / BATCH < BUFFERS_A_CLAIM
    assert buffers(completion) / BATCH < BUFFERS_A_COMPLETION
    assert buffers(without_mark) > buffers(claim) + 100  # the dead entries of the index, which the mark leaves out


async def test_a_dispatch_reads_no_table_but_its_keys(ground: Ground) -> None:
    await fill(ground, 20_000)
    await ground.store.dispatch(rows(new_ids(2), handles=[1, 0]), 0)

    for handles in (None, [1] * BATCH):
        flush = rows(new_ids(BATCH), base=10**6, handles=handles)
        await ground.store.dispatch(flush._replace(ids=new_ids(BATCH)), 0)
        more = [] if handles is None else [handles]
        columns = (flush.ids, flush.lanes, flush.bands, flush.envelopes, 10**6, 0, *more)
        plan = await explain(ground, "dispatch", "dispatch", (handles is not None, False, False), *columns)
        accepted: list[int | None] = [10**9] * BATCH
        await ground.store.dispatch(flush._replace(ids=new_ids(BATCH), accepted=accepted), 0)
        plan_of_accepted = await explain(ground, "dispatch", "dispatch", (handles is not None, False, True), *columns, accepted)
        for each in (plan, plan_of_accepted):
            assert scanned(each) == set()
            assert buffers(each) / BATCH < BUFFERS_A_DISPATCH


async def fill(ground: Ground, n: int) -> None:
    """Put n jobs into one lane."""
    start = int.from_bytes(new_id()[:6], "big")
    made = f"(lpad(to_hex({start}),12,'0')||'7000'||lpad(to_hex(n),16,'0'))::uuid,{LANE},{BAND},n from generate_series(1,{n}) n"
    job = f"insert into job (created_at,envelope,id,lane,band,position) select 1,decode(repeat('ab',250),'hex'),{made}"
    ready = f"insert into ready (attempt,size,id,lane,band,position) select 0,250,{made}"
    await ground.store.run(lambda c: (c.execute(text(job)), c.execute(text(ready))))


def links(ground: Ground) -> dict[str, HotLink]:
    """Return the hot connections by what they do."""
    store = ground.store
    assert isinstance(store, PostgresStore)
    return {"dispatch": store._dispatcher, "claim": store._claimer, "complete": store._completer}


async def explain_claim(ground: Ground, n: int, low: int = 0, *, bounded: bool = False) -> Any:
    """Explain a claim of n places in one lane; bounded: with a budget of bytes that is never used up."""
    budget = [1 << 40] if bounded else []
    return await explain(ground, "claim", "claim", bounded, [LANE], [BAND], [low], [1] * n, 1, *budget)


async def explain_claims(ground: Ground) -> Any:
    """Explain a claim of two groups."""
    return await explain(
        ground, "claim", "claim_several", None, [LANE, 2], [BAND, BAND], [0, 0], [1, 2], [1, 1, 1], [1, 1, 2], [0, 0], 1
    )


async def explain_completion(ground: Ground, claimed: Sequence[Claimed]) -> Any:
    """Explain the completion of these leases."""
    return await explain(ground, "complete", "complete", None, *completions(claimed), 2)


async def explain(ground: Ground, link: str, statement: str, variant: Any, *values: Any) -> Any:
    """Run the store's own prepared statement under EXPLAIN ANALYZE; return its plan."""
    hot = links(ground)[link]
    assert isinstance(ground.store, PostgresStore)
    statement_text = getattr(ground.store._statements, statement)
    prepared = hot._prepared[statement_text if variant is None else statement_text[variant]]
    arguments = ",".join(map(literal, values))
    assert hot._raw is not None
    found = await hot._raw.fetchval(f'explain (analyze, buffers, format json) execute "{prepared.get_name()}"({arguments})')
    (plan,) = json.loads(found)
    return plan["Plan"]


def literal(value: Any) -> str:
    """Render an argument as SQL."""
    return "'{" + ",".join(map(element, value)) + "}'" if isinstance(value, list) else str(value)


def element(value: Any) -> str:
    """Render an element of an array: an id, an envelope or a number."""
    if isinstance(value, bytes):
        return value.hex() if len(value) == 16 else f'"\\\\x{value.hex()}"'
    return str(value)


def scanned(plan: Any) -> set[tuple[str, str]]:
    """Return the tables that are read other than by index, key or TID."""
    kinds = ("Seq Scan", "Bitmap Heap Scan")
    return {(node["Node Type"], node["Relation Name"]) for node in nodes(plan) if node["Node Type"] in kinds}


def rows_of(plan: Any) -> int:
    """Return how many rows came back."""
    return int(plan["Actual Rows"])


def buffers(plan: Any) -> int:
    """Return how many pages were touched: by the query, and by the inserts that run after it because nothing reads them."""
    after = [n for n in plan.get("Plans", []) if n["Node Type"] == "ModifyTable" and n["Subplan Name"] in WRITES]
    return sum(int(node[f"Shared {kind} Blocks"]) for node in (plan, *after) for kind in ("Hit", "Read"))

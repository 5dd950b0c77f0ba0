"""The plans of the hot statements on MariaDB, by EXPLAIN of the store's own texts: on an empty, a small and a full database.

What a statement reads it locks. On a small table the optimizer prefers to read everything, and then waits for rows of others.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from protojobs_service.drivers.sql.mysql import MysqlStore
from protojobs_service.drivers.sql.mysql_statements import Leased, Statements
from protojobs_service.drivers.sql.store import Probe
from sqlalchemy import Connection, text

from tests.unit.drivers.kit import BAND, LANE, Ground, group, new_ids, opened, rows

pytestmark = [pytest.mark.asyncio, pytest.mark.mariadb]

BATCH = 500


@pytest_asyncio.fixture
async def ground(mariadb_dsn: str) -> AsyncIterator[Ground]:
    """Open the store."""
    async with opened(mariadb_dsn) as ground:
        yield ground


@pytest.mark.parametrize("jobs", [0, 3, 100_000])
async def test_every_read_with_a_lock_follows_a_key(ground: Ground, jobs: int) -> None:
    await fill(ground, jobs)
    sql, ids = statements(ground), new_ids(BATCH)
    leased = [Leased(1, n, job_id, LANE, BAND, 1, 0, 0, 0) for n, job_id in enumerate(ids)]

    plans = {
        name: await explain(ground, statement)
        for name, statement in {
            "probe": sql.probe(Probe(LANE, BAND, 0), BATCH),
            "handles": sql.open_handles(range(1, 50)),
            "match": sql.match(ids),
            "envelopes": sql.envelopes(ids),
            "delete ready": sql.delete_ready(leased),
            "delete running": sql.delete_running(ids),
            "delete one": sql.delete_running(ids[:1]),
        }.items()
    }

    keys = {
        name: {(row.key, row.type) for row in plan if row.table in {"r", "job", "ready", "running", "handle"}}
        for name, plan in plans.items()
    }
    assert keys["probe"] == keys["handles"] == keys["match"] == keys["envelopes"] == {("PRIMARY", "range")}
    assert keys["delete ready"] == keys["delete running"] == {("PRIMARY", "eq_ref")}
    assert keys["delete one"] <= {("PRIMARY", "eq_ref"), ("PRIMARY", "const"), (None, None)}


@pytest.mark.parametrize("jobs", [0, 3, 100_000])
async def test_a_claim_reads_its_range_in_order_without_sorting(ground: Ground, jobs: int) -> None:
    await fill(ground, jobs)

    (plan,) = await explain(ground, statements(ground).probe(Probe(LANE, BAND, 0), BATCH))

    assert "filesort" not in plan.Extra
    assert "temporary" not in plan.Extra


async def test_a_claim_reads_no_more_rows_than_it_takes(ground: Ground) -> None:
    await fill(ground, 100_000)
    handle = await ground.add_handle()

    def read_rows(c: Connection) -> int:
        names = "'Innodb_rows_read','Innodb_rows_deleted'"
        return sum(int(row[1]) for row in c.execute(text(f"SHOW GLOBAL STATUS WHERE Variable_name IN ({names})")))

    before = await ground.store.run(read_rows, write=False)
    claimed = await ground.store.claim([group(*[handle] * BATCH)], 1)
    after = await ground.store.run(read_rows, write=False)

    assert len(claimed) == BATCH
    assert (after - before) / BATCH < 8  # 4 measured: probe, job, the list of keys and the row to delete


async def test_low_mark_spares_a_claim_what_was_taken_before(ground: Ground) -> None:
    await fill(ground, 20_000)

    (whole,) = await explain(ground, statements(ground).probe(Probe(LANE, BAND, 0), BATCH))
    (rest,) = await explain(ground, statements(ground).probe(Probe(LANE, BAND, 19_500), BATCH))

    assert int(rest.rows) < int(whole.rows) / 4


async def fill(ground: Ground, n: int) -> None:
    """Put n jobs into one lane, and as many that run."""
    await ground.store.dispatch(rows(new_ids(2)), 0)  # tables that were never touched have no statistics at all
    await ground.store.run(lambda c: [c.execute(ground.store.tables.ready.delete()), c.execute(ground.store.tables.job.delete())])
    made = f"unhex(concat('0199',lpad(hex(seq),28,'0'))) AS id,{LANE} AS lane,{BAND} AS band,seq AS position"
    others, source = made.replace("0199", "0198"), f"FROM seq_1_to_{n}"

    def insert(c: Connection) -> None:
        c.execute(text(f"INSERT INTO job (id,lane,band,position,created_at,envelope) SELECT {made},1,repeat('x',250) {source}"))
        c.execute(text(f"INSERT INTO ready (id,lane,band,position,attempt,size) SELECT {made},0,250 {source}"))
        c.execute(text(f"INSERT INTO running (id,lane,band,position,handle,started_at,attempt) SELECT {others},1,1,1 {source}"))
        c.execute(text("INSERT INTO handle (id,session) SELECT seq+1000,1 FROM seq_1_to_10"))

    if n:
        await ground.store.run(insert)


def statements(ground: Ground) -> Statements:
    """Return the texts of the store."""
    assert isinstance(ground.store, MysqlStore)
    return ground.store._sql


async def explain(ground: Ground, statement: str) -> list[Any]:
    """Return the rows of EXPLAIN."""
    return await ground.store.run(lambda c: list(c.exec_driver_sql(f"EXPLAIN {statement}")))

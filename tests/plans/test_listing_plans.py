"""The plans of lists on PostgreSQL: whatever a filter asks for, no large table is read from end to end."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.sql.cold.base import Cold, Replica
from protojobs_service.drivers.sql.cold.listing import Wanted, find_part
from sqlalchemy import Connection, event, text

from tests.plans.trees import nodes
from tests.unit.drivers.kit import Ground, new_id, opened

pytestmark = [pytest.mark.asyncio, pytest.mark.postgres]

LOOK = 1000
RARE, COMMON = 2, 1
PARENT = b"\1" * 16

FILTERS = {
    "queue or kind": Wanted(lanes=[RARE], limit=50),
    "label": Wanted(labels=[("team", ["t7"])], limit=50),
    "labels": Wanted(labels=[("team", ["t7", "t8"]), ("all", ["x"])], limit=50),
    "label and state": Wanted(labels=[("team", ["t7"])], states=[State.COMPLETED, State.PENDING], limit=50),
    "created": Wanted(created_from=60_000_000, created_to=61_000_000, limit=50),
    "parent": Wanted(parents=[PARENT], limit=50),
    "pending": Wanted(states=[State.PENDING], limit=50),
    "pending of a queue": Wanted(states=[State.PENDING], lanes=[RARE], limit=50),
    "completed of a queue": Wanted(states=[State.COMPLETED], lanes=[RARE], limit=50),
    "failed of a queue": Wanted(states=[State.FAILED, State.CANCELLED], lanes=[RARE], limit=50),
    "several states": Wanted(states=[State.COMPLETED, State.PENDING, State.FAILED], lanes=[RARE], limit=50),
}


@pytest_asyncio.fixture
async def ground(postgres_dsn: str) -> AsyncIterator[Ground]:
    """Fill a store: 30 000 jobs are done and 30 000 wait, almost all in one lane; each has two labels."""
    async with opened(postgres_dsn) as ground:
        await ground.store.run(_fill)
        yield ground


def _fill(c: Connection) -> None:
    job_id = f"(lpad(to_hex({int.from_bytes(new_id()[:6], 'big')}),12,'0')||'7000'||lpad(to_hex(n),16,'0'))::uuid"
    lane = f"case when n%1000=0 then {RARE} else {COMMON} end"
    for first, last, target in ((1, 30_000, "done"), (30_001, 60_000, "ready")):
        rows = {
            "job (id,lane,band,position,created_at,envelope)": f"{job_id},{lane},5,n,n*1000,'x'",
            "label (key,value,id)": f"unnest(array['team','all']),unnest(array['t'||n%5000,'x']),{job_id}",
            "ready (id,lane,band,position,attempt,size)": f"{job_id},{lane},5,n,0,1",
            "done (id,attempt,lane,finished_at,outcome)": f"{job_id},1,{lane},n,case when n%500=0 then 2 else 1 end",
        }
        for table, values in rows.items():
            if table.partition(" ")[0] in ("job", "label", target):
                c.execute(text(f"insert into {table} select {values} from generate_series({first},{last}) n"))
    c.execute(text(f"insert into counter (lane,state,slot,n) values ({COMMON},{State.PENDING.value},0,29970)"))
    c.execute(text("analyze"))


async def test_no_large_table_is_read_whole(ground: Ground) -> None:
    named = text("select relname from pg_class where relkind='r' and reltuples>=30000")
    large = set(await ground.store.run(lambda c: c.execute(named).scalars().all()))
    read: dict[tuple[str, bool], set[str]] = {}
    for name, wanted in FILTERS.items():
        for newest_first in (True, False):
            plans = await explain(ground, replace(wanted, newest_first=newest_first))
            assert plans
            scans = [node["Relation Name"] for plan in plans for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
            read[name, newest_first] = large.intersection(scans)

    assert len(large) == 4
    assert {name: tables for name, tables in read.items() if tables} == {}


async def explain(ground: Ground, wanted: Wanted) -> list[Any]:
    """Return the plans of the statements that find the first part of a list."""
    cold = Cold(tables=ground.store.tables, now=ground.store.now, replica=Replica(name="r"), writer=3, fingerprint=lambda *_: b"")
    plans: list[Any] = []

    def note(_c: Any, cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> tuple[str, Any]:
        cursor.execute(f"explain (format json) {statement}", parameters)
        plans.extend(found[0]["Plan"] for (found,) in cursor.fetchall())
        return statement, parameters

    def read(c: Connection) -> None:
        event.listen(c, "before_cursor_execute", note, retval=True)
        find_part(c, cold, wanted, LOOK)

    await ground.store.run(read, write=False)
    return plans

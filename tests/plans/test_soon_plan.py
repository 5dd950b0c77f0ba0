"""The plan of what KEDA may have counted every second: of the jobs that wait for their time only so many are read."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.sql.cold.base import Cold, Replica
from protojobs_service.drivers.sql.cold.soon import due_soon
from sqlalchemy import Connection, event, text

from tests.plans.trees import nodes
from tests.unit.drivers.kit import Ground, new_id, opened

pytestmark = [pytest.mark.asyncio, pytest.mark.postgres]

WAITING, MOST = 50_000, 1000


@pytest_asyncio.fixture
async def ground(postgres_dsn: str) -> AsyncIterator[Ground]:
    """Fill a store with jobs that are all due."""
    async with opened(postgres_dsn) as ground:
        await ground.store.run(_fill)
        yield ground


def _fill(c: Connection) -> None:
    job_id = f"(lpad(to_hex({int.from_bytes(new_id()[:6], 'big')}),12,'0')||'7000'||lpad(to_hex(n),16,'0'))::uuid"
    columns = "id,due_at,state,lane,band,attempt,size"
    values = f"{job_id},n,{State.SCHEDULED.value},101+n%2,5,0,1"
    c.execute(text(f"insert into due ({columns}) select {values} from generate_series(1,{WAITING}) n"))
    c.execute(text("insert into lane (id,queue,kind) values (101,'mail','a'),(102,'mail','b')"))
    c.execute(text("analyze"))


async def test_no_more_is_read_of_what_waits_than_is_counted(ground: Ground) -> None:
    cold = Cold(tables=ground.store.tables, now=ground.store.now, replica=Replica(name="r"), writer=3, fingerprint=lambda *_: b"")
    plans: list[Any] = []

    def explain(_c: Any, cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> tuple[str, Any]:
        if "due" in statement:
            cursor.execute(f"explain (analyze, format json) {statement}", parameters)
            plans.extend(found[0]["Plan"] for (found,) in cursor.fetchall())
        return statement, parameters

    def read(c: Connection) -> Any:
        event.listen(c, "before_cursor_execute", explain, retval=True)
        return due_soon(c, cold, 30_000_000, MOST)

    counted = await ground.store.run(read, write=False)

    [plan] = plans
    [of_due] = [node for node in nodes(plan) if node.get("Relation Name") == "due"]
    assert (of_due["Node Type"], of_due["Actual Rows"]) == ("Index Scan", MOST)
    assert sum(n for kinds in counted.values() for n in kinds.values()) == MOST

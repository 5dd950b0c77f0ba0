"""The plans of the statements of unique keys: each follows an index, and on MariaDB also where the table is small."""

from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from protojobs_service.drivers.sql.cold.base import Cold, Replica
from protojobs_service.drivers.sql.cold.keys import KeyRow, forget_windows, free_keys, lock_keys
from sqlalchemy import Connection, event, insert, text

from tests.unit.drivers.kit import Ground, new_ids, opened

pytestmark = pytest.mark.asyncio

ASKED = 200


@pytest_asyncio.fixture(
    params=[pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("mariadb", marks=pytest.mark.mariadb)]
)
async def ground(request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    """Open the store."""
    async with opened(str(request.getfixturevalue(f"{request.param}_dsn"))) as ground:
        yield ground


async def test_keys_are_found_locked_and_freed_by_an_index(ground: Ground) -> None:
    for keys in (3, 5000):
        plans = await _plans(ground, keys)

        assert len(plans) == 4
        if keys > ASKED or ground.store.name == "mysql":  # PostgreSQL locks nothing but what it returns
            assert [plan for plan in plans if _reads_everything(plan)] == []


async def _plans(ground: Ground, keys: int) -> list[list[Any]]:
    """Return the plans of every statement about keys where so many more are taken."""
    rows = [KeyRow(job_id, str(keys), f"key {n}", 3, 1 << 60) for n, job_id in enumerate(new_ids(keys))]
    cold = Cold(tables=ground.store.tables, now=ground.store.now, replica=Replica("a"), writer=0, fingerprint=_no_fingerprint)
    table = ground.store.tables.unique_key
    analyze = "ANALYZE TABLE unique_key" if ground.store.name == "mysql" else "ANALYZE"
    await ground.store.run(lambda c: c.execute(insert(table), [row._asdict() for row in rows]))
    await ground.store.run(lambda c: c.execute(text(analyze)))
    some = Random(1).sample(rows, min(ASKED, keys))

    def use(c: Connection) -> None:
        lock_keys(c, cold, {row.place: row for row in some})
        forget_windows(c, cold, 100)
        free_keys(c, cold, [row.id for row in some])

    return await ground.store.run(lambda c: _explained(c, use))


def _no_fingerprint(_queue: str, _kind: str, _envelope: bytes) -> bytes:
    return b""


def _explained(c: Connection, use: Any) -> list[list[Any]]:
    """Return the plans of all statements that `use` makes, but for plain inserts and the clock."""
    seen: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if "unique_key" in statement and not many and not statement.startswith("INSERT"):
            seen.append((statement, parameters))

    event.listen(c, "before_cursor_execute", note)
    use(c)
    event.remove(c, "before_cursor_execute", note)
    return [list(c.exec_driver_sql(f"EXPLAIN {statement}", parameters)) for statement, parameters in seen]


def _reads_everything(plan: list[Any]) -> bool:
    if hasattr(plan[0], "possible_keys"):  # MariaDB
        return any(row.type in ("ALL", "index") and row.table in ("unique_key", "r") for row in plan)
    return any("Seq Scan" in row[0] for row in plan)

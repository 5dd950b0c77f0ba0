"""How long the store works for a caller: as long as that waits. None of these statements would end by itself before its time."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.sql.patience import STATEMENT_SECONDS, statement_seconds
from protojobs_service.drivers.sql.pipelines import Pipeline, Weight
from protojobs_service.port.deadline import deadline_in, seconds_left, unhurried
from sqlalchemy import Connection, text

from tests.unit.drivers.kit import SERVERS, Ground, opened, server_url

pytestmark = pytest.mark.asyncio

SLEEP = {"postgresql": "select pg_sleep(20)", "mysql": "select sleep(20)"}
LIMIT = {"postgresql": "select current_setting('statement_timeout')", "mysql": "select @@max_statement_time"}
WHOLE = {"postgresql": "30s", "mysql": 30.0}
ACTIVE = {
    "postgresql": "select count(*) from pg_stat_activity where state = 'active' and query like '%pg_sleep(20)%'"
    " and pid <> pg_backend_pid()",
    "mysql": "select count(*) from information_schema.processlist where info like '%sleep(20)%' and id <> connection_id()",
}
COUNT_FOR_EVER = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"


@pytest_asyncio.fixture(params=SERVERS)
async def ground(request: pytest.FixtureRequest) -> AsyncGenerator[Ground]:
    """Open a store on each server."""
    async with opened(server_url(request)) as ground:
        yield ground


async def _ask(ground: Ground, questions: dict[str, str], *, write: bool = False) -> Any:
    return await ground.store.run(lambda c: c.execute(text(questions[c.dialect.name])).scalar(), write=write)


@pytest.mark.parametrize("write", [True, False])
async def test_a_statement_ends_with_the_deadline_of_its_caller(ground: Ground, write: bool) -> None:
    with deadline_in(0.2), pytest.raises(StoreUnavailable):
        await _ask(ground, SLEEP, write=write)

    assert await _ask(ground, ACTIVE) == 0


async def test_a_connection_goes_back_to_the_full_time(ground: Ground) -> None:
    dialect = await ground.store.run(lambda c: c.dialect.name)

    with deadline_in(4.5):
        hurried = [await _ask(ground, LIMIT) for _ in range(2)]
    after = await _ask(ground, LIMIT)

    assert [str(each) for each in hurried] == ["5s" if dialect == "postgresql" else "5.0"] * 2
    assert after == WHOLE[dialect]


async def test_a_caller_that_is_cancelled_leaves_no_statement_behind(ground: Ground) -> None:
    async def is_active() -> bool:
        return bool(await _ask(ground, ACTIVE))

    async def sleep() -> None:
        with deadline_in(0.9):
            await _ask(ground, SLEEP)

    task = asyncio.create_task(sleep())
    while not await is_active() and not task.done():
        pass
    task.cancel()
    await asyncio.wait([task])

    async with asyncio.timeout(10):
        while await is_active():
            pass
    assert task.cancelled()


async def test_sqlite_breaks_off_a_read_that_nobody_waits_for(tmp_path: Path) -> None:
    entered = asyncio.Event()
    loop = asyncio.get_running_loop()

    def count(c: Connection) -> Any:
        loop.call_soon_threadsafe(entered.set)
        return c.execute(text(COUNT_FOR_EVER)).scalar()

    async with opened(f"sqlite:///{tmp_path}/jobs.db") as ground:
        task = asyncio.create_task(ground.store.run(count, write=False))
        await entered.wait()
        never_begun = asyncio.create_task(ground.store.run(count, write=False))
        await asyncio.sleep(0)
        task.cancel()
        never_begun.cancel()

        # The reader is one thread: it can answer only when both are gone.
        assert await ground.store.run(lambda c: c.execute(text("select 1")).scalar(), write=False) == 1


async def test_what_several_callers_share_has_none_of_their_deadlines() -> None:
    seen: list[float | None] = []

    async def flush(calls: Any) -> Any:
        seen.append(seconds_left())
        return calls

    pipeline = Pipeline[int, int]("test", flush, weigh=lambda _: Weight(1, 1))
    with deadline_in(1):
        assert await pipeline.run(1) == 1

    assert seen == [None]


async def test_time_left() -> None:
    assert (seconds_left(), statement_seconds()) == (None, STATEMENT_SECONDS)
    with deadline_in(-1):
        assert statement_seconds() == 0.25
        assert unhurried().run(seconds_left) is None
    with deadline_in(600):
        assert statement_seconds() == STATEMENT_SECONDS
    assert seconds_left() is None

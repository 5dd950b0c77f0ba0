"""Counters are found where the session has put them, and by their key where somebody else has moved them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import asyncpg
import pytest
import pytest_asyncio
from protojobs_service.drivers.sql.postgres_link import HotLink, connect_arguments
from protojobs_service.drivers.sql.postgres_statements import CLOCK, quoted, render
from protojobs_service.drivers.sql.tables import Tables

from tests.unit.drivers.kit import LANE, PENDING, new_id, opened

pytestmark = pytest.mark.asyncio

PLAIN = (False, False, False)


class Stand(NamedTuple):
    """A hot connection, and another one beside it."""

    tables: Tables
    link: HotLink
    beside: "asyncpg.Connection[Any]"

    @property
    def counter(self) -> str:
        """Return the name of the table."""
        return quoted(self.tables.counter)

    async def dispatch(self, *lanes: int, aside: bool = False) -> None:
        """Store a job in each lane."""
        statements = render(self.tables, clock=CLOCK)
        text = (statements.dispatch_aside if aside else statements.dispatch)[PLAIN]
        n = len(lanes)
        await self.link.fetch(text, [new_id() for _ in lanes], list(lanes), [5] * n, [b"e"] * n, 1000, 0)

    async def remembered(self, lane: int) -> str:
        """Return where the session believes that the counter of a lane's pending jobs is."""
        name = f"protojobs.counter_{(lane * 8 + PENDING) % 256}"
        [(found,)] = await self.link.fetch("select current_setting($1,true)", name)
        return str(found)

    async def place(self, lane: int) -> str:
        """Return where it is."""
        return str(await self.beside.fetchval(f"select ctid::text from {self.counter} where lane=$1 and state=$2", lane, PENDING))

    async def counted(self, lane: int) -> int:
        """Return what it says."""
        return int(await self.beside.fetchval(f"select n from {self.counter} where lane=$1 and state=$2", lane, PENDING))


@pytest_asyncio.fixture
async def stand(postgres_dsn: str) -> AsyncIterator[Stand]:
    """Open a store with fresh tables, and two connections."""
    async with opened(postgres_dsn) as ground:
        link = HotLink("test", postgres_dsn)
        link.start()
        beside = await asyncpg.connect(**connect_arguments(postgres_dsn))
        try:
            yield Stand(ground.store.tables, link, beside)
        finally:
            await beside.close()
            await link.close()


async def test_the_session_knows_where_it_has_put_a_counter(stand: Stand) -> None:
    places: list[str] = []
    for _ in range(3):
        await stand.dispatch(LANE, LANE)
        places.append(await stand.place(LANE))
        assert await stand.remembered(LANE) == places[-1]

    assert len(set(places)) == 3
    assert await stand.counted(LANE) == 6


async def test_a_counter_that_another_session_moves_is_found_and_its_new_place_remembered(stand: Stand) -> None:
    await stand.dispatch(LANE)
    await stand.beside.execute(f"update {stand.counter} set n=n+10")

    await stand.dispatch(LANE)

    assert await stand.counted(LANE) == 12
    assert await stand.remembered(LANE) == await stand.place(LANE)


async def test_a_counter_that_another_session_is_about_to_move_is_waited_for(stand: Stand) -> None:
    await stand.dispatch(LANE)
    async with stand.beside.transaction():
        await stand.beside.execute(f"update {stand.counter} set n=n+10")
        waiting = asyncio.create_task(stand.dispatch(LANE))
        for _ in range(200):
            if await stand.beside.fetchval("select count(*) from pg_locks where not granted"):
                break
            await asyncio.sleep(0.01)
        assert not waiting.done()

    await waiting
    assert await stand.counted(LANE) == 12
    assert await stand.remembered(LANE) == await stand.place(LANE)


async def test_lanes_that_share_a_name_are_both_counted(stand: Stand) -> None:
    other = LANE + 32
    for _ in range(3):
        await stand.dispatch(LANE)
        await stand.dispatch(LANE, other)

    assert (await stand.counted(LANE), await stand.counted(other)) == (6, 3)


async def test_a_flush_of_many_lanes_remembers_none_and_counts_all(stand: Stand) -> None:
    many = range(1, 101)
    for _ in range(2):
        await stand.dispatch(*many)
        assert await stand.remembered(LANE) == "None"

    assert {await stand.counted(lane) for lane in many} == {2}


async def test_a_writer_that_shares_its_slot_remembers_nothing(stand: Stand) -> None:
    for _ in range(2):
        await stand.dispatch(LANE, aside=True)

    assert await stand.counted(LANE) == 2
    assert await stand.remembered(LANE) == "None"

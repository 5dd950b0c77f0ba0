"""Schedules while servers are killed: no tick is missed, none comes twice, and nobody leads."""

import asyncio
import os
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import cycle
from uuid import UUID

import pytest
from protojobs_client import AsyncClient, Catchup, CatchupMode, Every, Options, ScheduleRequest

from tests.chaos.conftest import MakeStand
from tests.chaos.killing import after, kill_in_turn
from tests.chaos.stores import PostgresStore
from tests.chaos.waiting import until

pytestmark = [pytest.mark.kill]

TICKS = int(os.environ.get("PROTOJOBS_TEST_TICKS", "2000"))
PER_SECOND = 100 if TICKS < 50_000 else 500
BETWEEN_KILLS = 3.0
ALL = Catchup(mode=CatchupMode.ALL, most=1000)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _declared() -> list[ScheduleRequest]:
    """Return schedules that tick each second, whose jobs are told apart by their kind."""
    return [ScheduleRequest.of(f"k{n}", None, Every(1, EPOCH), name=f"s{n}", queue="ticks", catchup=ALL) for n in range(PER_SECOND)]


async def _ticks(client: AsyncClient, until_second: int) -> Counter[tuple[str, int]]:
    """Count the jobs by schedule and second of the tick, which the time of their id tells, up to a second."""
    seen = Counter[tuple[str, int]]()
    async for job in client.list(queues=["ticks"], page_size=500):
        milliseconds = UUID(job.id).int >> 80
        assert milliseconds % 1000 == 0, job.id
        if milliseconds // 1000 <= until_second:
            seen[job.kind, milliseconds // 1000] += 1
    return seen


@pytest.mark.asyncio
@pytest.mark.timeout(600)
async def test_two_servers_of_which_one_is_killed_every_few_seconds_miss_and_double_nothing(
    postgres_store: PostgresStore, make_stand: MakeStand
) -> None:
    stand = make_stand(postgres_store)
    for _ in range(2):
        await stand.add_server()
    client = AsyncClient(options=Options(address=stand.address))
    try:
        await client.sync_schedules(_declared())
        first = int(time.time()) + 2
        last = first + TICKS // PER_SECOND - 1
        over, killed = asyncio.Event(), list[str]()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(kill_in_turn(cycle(stand.servers), after(BETWEEN_KILLS), over, killed))
            await until("the time is over", lambda: time.time() > last, within=TICKS / PER_SECOND + 10, every=0.2)
            over.set()

        async def all_have_ticked() -> bool:
            return all([each.last_at is not None and each.last_at.timestamp() >= last async for each in client.schedules()])

        await until("every schedule has come so far", all_have_ticked, within=60, every=0.5)
        seen = await _ticks(client, last)
    finally:
        await client.close()

    doubled = {key: n for key, n in seen.items() if n > 1}
    expected = {(f"k{n}", second) for n in range(PER_SECOND) for second in range(first, last + 1)}
    missed = expected - seen.keys()
    print(f"{len(expected)} ticks, {len(killed)} kills, {len(doubled)} doubled, {len(missed)} missed")
    assert (doubled, missed) == ({}, set())
    assert len(killed) >= 2

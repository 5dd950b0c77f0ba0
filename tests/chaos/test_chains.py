"""Chains while workers and servers are killed: each job that completes stores what follows it, once."""

import asyncio
from collections import Counter
from functools import partial
from itertools import cycle

import pytest
from protojobs_client import AsyncClient, JobRequest, JobState, Options

from tests.chaos.conftest import MakeStand
from tests.chaos.killing import kill_in_turn
from tests.chaos.processes import Program
from tests.chaos.stand import Server, Stand
from tests.chaos.stores import PostgresStore
from tests.chaos.waiting import until

pytestmark = [pytest.mark.kill]

CHAINS, LENGTH = 50, 4
BETWEEN_KILLS = 25


def _chain() -> JobRequest:
    job = JobRequest("work", {}).on_queue("main")
    for _ in range(LENGTH - 1):
        job = JobRequest("work", {}).on_queue("main").on_complete(job)
    return job


async def _more_begin(stand: Stand) -> None:
    """Wait until some handlers more have begun."""
    enough = len(stand.seen("start")) + BETWEEN_KILLS
    await until("more handlers begin", lambda: len(stand.seen("start")) >= enough, within=60, every=0.05)


@pytest.mark.asyncio
@pytest.mark.timeout(180)
async def test_chains_go_on_once_whoever_is_killed(postgres_store: PostgresStore, make_stand: MakeStand) -> None:
    stand = make_stand(postgres_store)
    await stand.add_server()
    workers = [await stand.add_worker(f"w{n}", concurrency=5) for n in range(2)]
    async with AsyncClient(options=Options(address=stand.address)) as client:
        heads = await client.dispatch_many(_chain() for _ in range(CHAINS))
        over, killed = asyncio.Event(), list[str]()

        async def all_have_ended() -> bool:
            return len(await client.list(states=[JobState.COMPLETED], page_size=500).all()) >= CHAINS * LENGTH

        async with asyncio.TaskGroup() as tasks:
            victims: cycle[Program | Server] = cycle([workers[0], *stand.servers, workers[1]])
            tasks.create_task(kill_in_turn(victims, partial(_more_begin, stand), over, killed))
            try:
                await until("every chain has come to its end", all_have_ended, within=120, every=0.3)
            finally:
                over.set()
        jobs = await client.list(page_size=500).all()

    children = Counter(job.parent_job_id for job in jobs if job.parent_job_id)
    print(f"{len(jobs)} jobs, {len(killed)} kills")
    assert len(jobs) == CHAINS * LENGTH
    assert set(children.values()) == {1}
    assert len(children) == CHAINS * (LENGTH - 1)
    assert len(killed) >= 3
    assert {job.state for job in jobs} == {JobState.COMPLETED}
    assert {head.job_id for head in heads} == {job.id for job in jobs if not job.parent_job_id}

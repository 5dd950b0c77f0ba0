"""Chains while workers and servers are killed: each job that completes stores what follows it, once."""

import asyncio
from collections import Counter
from itertools import cycle

import pytest
from protojobs_client import AsyncClient, JobRequest, JobState, Options

from tests.chaos.conftest import MakeStand
from tests.chaos.processes import Program
from tests.chaos.stand import Stand
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


async def _kill_in_turn(stand: Stand, workers: list[Program], over: asyncio.Event) -> int:
    """Kill one after the other and start it again, each time that some handlers have begun."""
    [server] = stand.servers
    kills = 0
    for victim in cycle([workers[0], server.program, workers[1]]):
        enough = len(stand.seen("start")) + BETWEEN_KILLS

        def is_time(enough: int = enough) -> bool:
            return over.is_set() or len(stand.seen("start")) >= enough

        await until("more handlers begin", is_time, within=60, every=0.05)
        if over.is_set():
            break
        victim.kill()
        kills += 1
        victim.start()
        if victim is server.program:
            await server.ready()
    return kills


@pytest.mark.asyncio
@pytest.mark.timeout(180)
async def test_chains_go_on_once_whoever_is_killed(postgres_store: PostgresStore, make_stand: MakeStand) -> None:
    stand = make_stand(postgres_store)
    await stand.add_server()
    workers = [await stand.add_worker(f"w{n}", concurrency=5) for n in range(2)]
    async with AsyncClient(options=Options(address=stand.address)) as client:
        heads = await client.dispatch_many(_chain() for _ in range(CHAINS))
        over = asyncio.Event()

        async def all_have_ended() -> bool:
            return len(await client.list(states=[JobState.COMPLETED], page_size=500).all()) >= CHAINS * LENGTH

        async with asyncio.TaskGroup() as tasks:
            killing = tasks.create_task(_kill_in_turn(stand, workers, over))
            try:
                await until("every chain has come to its end", all_have_ended, within=120, every=0.3)
            finally:
                over.set()
        jobs = await client.list(page_size=500).all()

    children = Counter(job.parent_job_id for job in jobs if job.parent_job_id)
    print(f"{len(jobs)} jobs, {killing.result()} kills")
    assert len(jobs) == CHAINS * LENGTH
    assert set(children.values()) == {1}
    assert len(children) == CHAINS * (LENGTH - 1)
    assert killing.result() >= 3
    assert {job.state for job in jobs} == {JobState.COMPLETED}
    assert {head.job_id for head in heads} == {job.id for job in jobs if not job.parent_job_id}

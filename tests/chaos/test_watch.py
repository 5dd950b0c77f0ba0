"""Watching while servers are killed: no event is lost, none comes twice, none is invented."""

import asyncio
from collections import Counter

import pytest
from protojobs_client import AsyncClient, JobEvent, JobState, Options

from tests.chaos.conftest import MakeStand
from tests.chaos.killing import after, kill_in_turn
from tests.chaos.stores import PostgresStore
from tests.chaos.waiting import until

pytestmark = [pytest.mark.kill]

BETWEEN_KILLS = 0.5


async def _happen(client: AsyncClient, over: asyncio.Event) -> None:
    """Dispatch and cancel jobs, some of which are completed by the worker before."""
    while not over.is_set():
        jobs = [(await client.dispatch("work", {}, queue=queue)).job_id for queue in ("main", "idle", "idle")]
        for job_id in jobs[1:]:
            await client.cancel(job_id)


@pytest.mark.asyncio
@pytest.mark.timeout(180)
async def test_a_watch_over_two_servers_that_are_killed_in_turn_hears_of_every_end_once(
    postgres_store: PostgresStore, make_stand: MakeStand
) -> None:
    stand = make_stand(postgres_store)
    for _ in range(2):
        await stand.add_server()
    await stand.add_worker("busy", queues=["main"], concurrency=5)
    seen: list[JobEvent] = []
    client = AsyncClient(options=Options(address=stand.address))
    try:
        async with client.watch_jobs(states=[JobState.CANCELLED, JobState.COMPLETED]) as events:

            async def hear() -> None:
                async for event in events:  # what was heard counts while it goes on
                    seen.append(event)  # noqa: PERF401

            over = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                hearing = tasks.create_task(hear())
                happening = [tasks.create_task(_happen(client, over)) for _ in range(2)]
                await kill_in_turn(stand.servers, after(BETWEEN_KILLS), over, [])
                over.set()
                await asyncio.gather(*happening)

                async def everything() -> dict[str, JobState]:
                    return {job.id: job.state async for job in client.list(page_size=500)}

                async def all_ended() -> bool:
                    return all(state.is_final for state in (await everything()).values())

                await until("every job has ended", all_ended, within=60, every=0.5)
                ended = await everything()
                await until("every end was heard of", lambda: len(seen) >= len(ended), within=30)
                await events.close()
                await hearing
    finally:
        await client.close()

    print(f"{len(ended)} jobs, {len(seen)} events")
    assert Counter((event.id, event.after) for event in seen) == Counter(ended.items())
    assert set(ended.values()) == {JobState.CANCELLED, JobState.COMPLETED}

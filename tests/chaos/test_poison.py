"""Jobs that end their worker the moment they begin."""

import pytest

from tests.chaos.conftest import MARIADB, STORES
from tests.chaos.stand import Stand
from tests.chaos.waiting import until

pytestmark = [pytest.mark.kill, pytest.mark.timeout(120)]


@pytest.mark.asyncio
@pytest.mark.parametrize("store", [*STORES, MARIADB], indirect=True)
async def test_job_that_ends_every_worker_at_once_ends_as_poison_and_its_neighbours_complete_uncounted(stand: Stand) -> None:
    await stand.add_server()
    producer = stand.producer()
    # Urgent, and all of them go into one window: it is the first to begin each time, with its neighbours delivered behind it.
    [poison] = await producer.dispatch(1, task={"do": "exit"}, priority=9)
    innocents = await producer.dispatch(5)
    worker = await stand.add_worker("victim", concurrency=1, window=6, listed=False)

    async def ended() -> bool:
        if not worker.running:
            worker.start()
        return (await producer.client.get(poison)).state.is_final

    await until("the poison has ended", ended, within=90, every=0.2)
    await until("all others complete", lambda: producer.has("main", FAILED=1, COMPLETED=5))

    job = await producer.client.get(poison)
    found = [await producer.client.get(innocent) for innocent in innocents]
    assert (job.state.name, job.reason, job.crashes, job.failures) == ("FAILED", "POISON", 3, 0)
    assert job.attempt <= 5
    assert {(each.crashes, each.failures) for each in found} == {(0, 0)}

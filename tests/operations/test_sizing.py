"""The figures of docs/operations/sizing.md that a machine cannot change are those of this build."""

import asyncio
import re

import pytest

from tests.chaos.conftest import MARIADB, POSTGRES, STORES, MakeStand
from tests.chaos.maria_store import MariaStore
from tests.chaos.producer import Producer
from tests.chaos.stand import Stand
from tests.chaos.stores import PostgresStore, SqliteStore, Store
from tests.chaos.waiting import until
from tests.operations.pages import ROOT, bash, blocks

pytestmark = [pytest.mark.kill, pytest.mark.timeout(120)]

PAGE = (ROOT / "docs" / "operations" / "sizing.md").read_text()
JOBS = 20_000


def said(row: str) -> int:
    """Return the number of a row of the page's tables."""
    [number] = re.findall(rf"^\| {re.escape(row)} \| (?:at most )?(\d+)", PAGE, flags=re.MULTILINE)
    return int(number)


@pytest.mark.asyncio
@pytest.mark.parametrize("store", STORES, indirect=True)
async def test_a_completed_job_takes_as_much_of_the_disk_as_the_page_says(stand: Stand, store: Store) -> None:
    server = await stand.add_server()
    producer = stand.producer()
    await stand.add_worker("worker", concurrency=200)
    await _run(producer, JOBS)
    server.program.terminate()
    assert await server.program.ended() == 0  # what was written ahead is in the tables now

    if isinstance(store, PostgresStore):
        [command] = blocks("sizing.md", "Disk")
        measured = float(bash(command, stand.directory, store.env(), path=store.cluster.bin_dir))
        stated = said("a completed job that is kept, PostgreSQL")
    else:
        assert isinstance(store, SqliteStore)
        measured, stated = store.path.stat().st_size / JOBS, said("the same, SQLite")
    print(f"{store.name}: {measured:.0f} bytes a job, and the page says {stated}")
    assert stated * 2 / 3 < measured < stated * 4 / 3


@pytest.mark.asyncio
@pytest.mark.parametrize("store", [POSTGRES, MARIADB], indirect=True)
async def test_a_server_has_no_more_connections_than_the_page_says(
    make_stand: MakeStand, store: PostgresStore | MariaStore
) -> None:
    stand = make_stand(store)
    await stand.add_server()
    producer = stand.producer()
    await stand.add_worker("worker", concurrency=200)
    most = said("PostgreSQL" if isinstance(store, PostgresStore) else "MariaDB")
    over = asyncio.Event()

    async def read() -> None:
        while not over.is_set():
            await producer.client.stats()

    async with asyncio.TaskGroup() as group:
        for _ in range(30):
            group.create_task(read())
        await _run(producer, 3000)
        await producer.dispatch(1, task={"text": "x" * 300_000})  # large jobs have a connection of their own
        await until("the large one has completed", lambda: producer.has("main", COMPLETED=3001), within=90, every=0.2)
        counted = [_connections(store) for _ in range(5)]
        over.set()

    assert 3 < max(counted) <= most


def _connections(store: PostgresStore | MariaStore) -> int:
    if isinstance(store, PostgresStore):
        query = f"select count(*) from pg_stat_activity where datname = '{store.database}' and pid <> pg_backend_pid()"
        return int(store.cluster.execute(query, database="postgres"))
    query = f"SELECT count(*) FROM information_schema.processlist WHERE db = '{store.database}'"
    return int(store.server.execute(query))


async def _run(producer: Producer, jobs: int) -> None:
    for _ in range(jobs // 1000):
        await producer.dispatch(1000, task={"text": "x" * 150})
    await until("all have completed", lambda: producer.has("main", COMPLETED=jobs), within=90, every=0.2)

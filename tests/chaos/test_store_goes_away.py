"""A store that stops answering while workers hold leases."""

import asyncio
from pathlib import Path

import pytest

from tests.chaos.conftest import MakeStand
from tests.chaos.producer import Producer
from tests.chaos.stand import TTL
from tests.chaos.stores import PostgresStore, SqliteStore
from tests.chaos.waiting import until

pytestmark = [pytest.mark.kill, pytest.mark.timeout(120)]


@pytest.mark.asyncio
async def test_outage_of_postgres_expires_no_lease_and_loses_nothing(own_postgres: PostgresStore, make_stand: MakeStand) -> None:
    stand = make_stand(own_postgres)
    await stand.add_server()
    producer = stand.producer()
    reckless = stand.producer("reckless", strict=False, call_timeout=1.0)
    # The SDK fences itself off after 80 % of its ttl without an answer, so its leases here are longer than the outage.
    await stand.add_worker("sdk", concurrency=5, ttl=30.0)
    await stand.add_worker("raw", raw=True, concurrency=5)
    stand.expect(log="store")
    jobs = await producer.dispatch(10, task={"hold": "go"})
    await stand.started(10)

    await own_postgres.stop()
    during = asyncio.gather(*(reckless.dispatch(5) for _ in range(3)))
    await until("a dispatch has noticed", lambda: [e for e in stand.seen("dispatch", proc="reckless") if e["phase"] == "info"])
    await asyncio.sleep(2 * TTL)  # the outage itself: longer than the ttl of the raw worker's session
    await during
    await own_postgres.start()
    await stand.servers[0].ready(within=30)
    stand.open_gate("go")
    await until("all ten complete", lambda: _completed(producer, jobs), within=30)

    assert {(await producer.client.get(job)).attempt for job in jobs} == {1}
    await until("the doubtful ones are over too", lambda: _nothing_waits(producer), within=30)
    report = await stand.judge()
    assert report.ok, str(report)
    assert report.repeated_runs == 0


@pytest.mark.asyncio
async def test_locked_sqlite_file_holds_up_answers_and_loses_nothing(make_stand: MakeStand, tmp_path: Path) -> None:
    store = SqliteStore(path=tmp_path / "jobs.db")
    stand = make_stand(store)
    server = await stand.add_server()
    producer = stand.producer()
    reckless = stand.producer("reckless", strict=False, call_timeout=1.5)
    await producer.dispatch(10)
    stand.expect(log="locked")
    stand.expect(log="store")

    with store.locked():
        await reckless.dispatch(10, singly=False)
        acknowledged = [event for event in stand.seen("dispatch", proc="reckless") if event["phase"] == "ok" and event["jobs"]]
        server.program.kill()
    await server.start()
    await stand.add_worker("worker")
    await until("what is stored completes", lambda: _nothing_waits(producer), within=30)

    assert acknowledged == []
    report = await stand.judge()
    assert report.ok, str(report)


async def _completed(producer: Producer, jobs: list[str]) -> bool:
    infos = [await producer.client.get(job) for job in jobs]
    return all(info.state.name == "COMPLETED" for info in infos)


async def _nothing_waits(producer: Producer) -> bool:
    return set(await producer.counts("main")) <= {"COMPLETED"}

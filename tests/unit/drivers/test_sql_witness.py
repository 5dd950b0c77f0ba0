"""What the SQL driver tells of its work: flushes, waits of some jobs of each, and how full its pools are."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
import pytest_asyncio
from protojobs_service.domain.outcome import Release
from protojobs_service.domain.queue import Fairness
from protojobs_service.drivers.sql.driver import SqlDriver
from protojobs_service.drivers.sql.store import Options
from protojobs_service.port import Pool, Witness
from sqlalchemy import Connection
from sqlalchemy.util import await_only

from tests.contract.acts import claim, connect, new_job, settle_well, store, store_all
from tests.contract.backends import FakeRoom, NamedFollowUps, SqlClock, fingerprint, unique_of
from tests.schema import make_sqlite
from tests.unit.drivers.kit import SERVERS, ready_url, store_of

pytestmark = pytest.mark.asyncio


@dataclass
class Notes(Witness):
    """Remembers what it was told."""

    flushes: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    waits: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    def flushed(self, pipeline: str, jobs: int) -> None:
        """Note a flush."""
        self.flushes.append((pipeline, jobs))

    def waited(self, queue: str, seconds: float) -> None:
        """Note a wait, in tens of seconds: the store's clock runs on, and a machine may stand still for a few."""
        self.waits.append((queue, seconds // 10 * 10))


class Watched(NamedTuple):
    """A driver, its room and clock, and what it has told."""

    driver: SqlDriver
    room: FakeRoom
    clock: SqlClock
    notes: Notes

    async def let_pass(self, seconds: float) -> None:
        """Move the store's clock on, and have the driver look at it."""
        await self.clock.advance(timedelta(seconds=seconds))
        await self.driver._lanes.reload()


@pytest_asyncio.fixture(params=["sqlite", *SERVERS])
async def watched(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Watched]:
    """Open a driver on a new database."""
    url = make_sqlite(tmp_path / "jobs.db") if request.param == "sqlite" else await ready_url(request)
    clock, room, notes = SqlClock(), FakeRoom(), Notes()
    opened = store_of(Options(url=url, test_clock=clock.offset_us))
    driver = SqlDriver(opened, fingerprint=fingerprint, unique_of=unique_of, rng=Random(1), replica="watched")
    await driver.open(room, NamedFollowUps(), notes)
    yield Watched(driver, room, clock, notes)
    await driver.close()


async def test_a_claim_tells_how_long_its_jobs_had_been_claimable(watched: Watched) -> None:
    worker = await connect(watched.driver, "q", "r")
    await store(watched.driver, "q")
    await watched.let_pass(60)
    await store(watched.driver, "r")
    await watched.let_pass(30)

    await claim(watched.driver, worker, "q", "r")

    assert watched.notes.waits == [("q", 90), ("r", 30)]


async def test_a_job_that_came_back_waits_anew(watched: Watched) -> None:
    worker = await connect(watched.driver, "q")
    await store(watched.driver, "q")
    await watched.let_pass(60)
    [lease] = await claim(watched.driver, worker, "q")
    await settle_well(watched.driver, worker, lease, Release())
    await watched.let_pass(20)

    await claim(watched.driver, worker, "q")

    assert watched.notes.waits == [("q", 60), ("q", 20)]


async def test_a_job_that_was_delayed_waits_from_its_time_on(watched: Watched) -> None:
    worker = await connect(watched.driver, "q")
    await store(watched.driver, "q", delay=timedelta(seconds=500))
    await watched.let_pass(550)
    await watched.driver.jobs.promote(10)
    await watched.let_pass(50)

    await claim(watched.driver, worker, "q")

    assert watched.notes.waits == [("q", 50)]


async def test_jobs_claimed_at_insert_have_not_waited(watched: Watched) -> None:
    worker = await connect(watched.driver, "q")
    watched.room.places += [worker.handle] * 2

    await store_all(watched.driver, [new_job(), new_job(), new_job()])

    assert len(watched.room.delivered) == 2
    assert watched.notes.waits == [("q", 0), ("q", 0)]


async def test_jobs_that_a_log_accepted_earlier_have_waited_there(watched: Watched) -> None:
    worker = await connect(watched.driver, "q")
    watched.room.places += [worker.handle]
    accepted_at = watched.clock.now() - timedelta(seconds=30.2)

    await store_all(watched.driver, [new_job(accepted_at=accepted_at)])
    watched.room.places += [worker.handle]
    await store_all(watched.driver, [new_job(accepted_at=accepted_at - timedelta(seconds=30)), new_job()])

    assert watched.notes.waits == [("q", 30), ("q", 60)]


async def test_of_a_large_claim_four_waits_are_told_evenly_spread(watched: Watched) -> None:
    worker = await connect(watched.driver, "q")
    for _ in range(4):
        await store_all(watched.driver, [new_job() for _ in range(25)])
        await watched.let_pass(10)

    leases = await claim(watched.driver, worker, "q", limit=100)

    assert len(leases) == 100
    assert watched.notes.waits == [("q", 40), ("q", 30), ("q", 20), ("q", 10)]


async def test_a_place_in_a_fair_queue_is_no_time(watched: Watched) -> None:
    await watched.driver.queues.change("q", lambda settings: replace(settings, fairness=Fairness(enabled=True)))
    worker = await connect(watched.driver, "q")
    await watched.driver._lanes.reload()
    await store(watched.driver, "q", fairness_key="a")
    await watched.let_pass(10)

    leases = await claim(watched.driver, worker, "q")

    assert len(leases) == 1
    assert watched.notes.waits == []


async def test_every_flush_tells_its_jobs(watched: Watched) -> None:
    worker = await connect(watched.driver, "q")
    await store_all(watched.driver, [new_job() for _ in range(3)])
    leases = await claim(watched.driver, worker, "q")
    await settle_well(watched.driver, worker, leases[0])

    await claim(watched.driver, worker, "q")

    assert watched.notes.flushes == [("dispatch", 3), ("claim", 3), ("settle", 1)]


@pytest.mark.parametrize("watched", ["sqlite"], indirect=True)
async def test_the_threads_of_sqlite_tell_whether_they_work_and_what_waits(watched: Watched) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        entered.set()
        leave.wait(30)

    running = [asyncio.create_task(watched.driver._store.run(hold, write=False)) for _ in range(3)]
    await asyncio.to_thread(entered.wait, 30)
    busy = watched.driver.pools()["reader"]
    leave.set()
    await asyncio.gather(*running)

    assert busy == Pool(size=1, used=1, waiting=2)
    assert watched.driver.pools().keys() == {"reader", "writer"}


@pytest.mark.parametrize("watched", SERVERS, indirect=True)
async def test_a_pool_of_connections_tells_what_is_used_and_what_waits(watched: Watched) -> None:
    entered: list[None] = []
    full, leave = asyncio.Event(), asyncio.Event()
    size = watched.driver.pools()["rest"].size

    def hold(_: Connection) -> None:
        entered.append(None)
        if len(entered) == size:
            full.set()
        await_only(leave.wait())

    running = [asyncio.create_task(watched.driver._store.run(hold, write=False)) for _ in range(size + 2)]
    await full.wait()
    busy = watched.driver.pools()["rest"]
    leave.set()
    await asyncio.gather(*running)

    assert busy == Pool(size=size, used=size, waiting=2)
    assert watched.driver.pools()["rest"] == Pool(size=size, used=0, waiting=0)

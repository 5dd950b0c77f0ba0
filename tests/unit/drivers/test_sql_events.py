"""The log of events under commits that are held open, on two replicas: whoever reads on misses and repeats nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from random import Random
from typing import NamedTuple

import pytest
import pytest_asyncio
from protojobs_service.domain.errors import CursorExpired
from protojobs_service.domain.job import JobId, Lease
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import COMPLETE, Outcome
from protojobs_service.drivers.sql.cold.cancel import cancel
from protojobs_service.drivers.sql.cold.ends import logging_ends
from protojobs_service.drivers.sql.driver import SqlDriver
from protojobs_service.drivers.sql.store import Options
from protojobs_service.port import LogQuery, Position, Settlement
from sqlalchemy import Connection, text
from sqlalchemy.util import await_only

from tests.contract.acts import FAIL_FOR_GOOD, MINUTE, claim, connect, new_job, store_all
from tests.contract.backends import FakeRoom, fingerprint
from tests.unit.drivers.kit import SERVERS, ready_url, store_of

pytestmark = pytest.mark.asyncio

_GATE = """
create function wait_at_gate() returns trigger language plpgsql as $$
begin perform pg_advisory_xact_lock_shared(4711, new.slot / 4); return null; end $$;
create constraint trigger gate after insert on done_flush deferrable initially deferred for each row execute function wait_at_gate()
"""
"""Lets nobody commit a flush while the gate of its replica is closed: a deferred trigger runs as the first step of the commit."""


class Replicas(NamedTuple):
    """Two drivers on one database."""

    one: SqlDriver
    two: SqlDriver


@pytest_asyncio.fixture(params=SERVERS)
async def replicas(request: pytest.FixtureRequest) -> AsyncGenerator[Replicas]:
    """Open two drivers on each store."""
    url = await ready_url(request)
    both = Replicas(*(SqlDriver(store_of(Options(url=url)), fingerprint=fingerprint, rng=Random(1), replica=n) for n in ("a", "b")))
    for driver in both:
        await driver.open(FakeRoom())
    yield both
    for driver in both:
        await driver.close()


class Follower:
    """Reads on behind its place whenever it is told to."""

    def __init__(self, driver: SqlDriver) -> None:
        self._driver = driver
        self._position: Position = {}
        self.seen: list[JobId] = []

    async def read(self) -> list[JobId]:
        """Return what is new."""
        found: list[JobId] = []
        complete = False
        while not complete:
            page = await self._driver.events.read(LogQuery(after=self._position, limit=5, wanted=lambda _queue, _kind: True))
            self._position, complete = page.position, page.complete
            found += [event.id for flush in page.flushes for _, event in flush.events]
        self.seen += found
        return found


async def _settle(driver: SqlDriver, leases: Sequence[Lease], outcome: Outcome) -> None:
    await driver.jobs.settle([Settlement(lease.id, lease.attempt, lease.handle, outcome) for lease in leases])


async def test_a_commit_that_is_held_open_is_read_later_and_what_came_behind_it_in_its_slot_after_it(replicas: Replicas) -> None:
    """Replica one has written its end, and a second one waits behind it; replica two commits meanwhile."""
    follower = Follower(replicas.two)
    first, second, third = await store_all(replicas.one, [new_job() for _ in range(3)])
    written, gate = asyncio.Event(), asyncio.Event()

    def hold(c: Connection) -> None:
        logging_ends(lambda c: cancel(c, replicas.one._cold, [first], 1))(c)
        written.set()
        await_only(gate.wait())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(replicas.one._store.run(hold))
        await written.wait()
        behind = tasks.create_task(replicas.one.jobs.cancel([second], MINUTE))
        await replicas.two.jobs.cancel([third], MINUTE)
        meanwhile = await follower.read()
        assert not behind.done()
        gate.set()
    later = await follower.read()

    assert meanwhile == [third]
    assert later == [first, second]
    assert await follower.read() == []


@pytest.mark.parametrize("replicas", ["postgres"], indirect=True)
@pytest.mark.postgres
async def test_settles_of_two_replicas_whose_commits_are_held_open_in_turn_are_read_once_each(replicas: Replicas) -> None:
    """The hot statement and the cold transactions too: each replica's commits wait, while the other's go on, three times over."""
    await replicas.one._store.run(lambda c: [c.execute(text(part)) for part in _GATE.split(";\n")])
    leases: dict[str, list[Lease]] = {}
    waiting: dict[str, list[JobId]] = {}
    for driver, queue in zip(replicas, ("one", "two"), strict=True):
        worker = await connect(driver, queue, ttl=timedelta(minutes=5))
        await store_all(driver, [new_job(queue) for _ in range(36)])
        leases[queue] = list(await claim(driver, worker))
        waiting[queue] = await store_all(driver, [new_job(f"{queue}-waits") for _ in range(9)])
    followers = [Follower(driver) for driver in replicas]

    async def work(driver: SqlDriver, queue: str, turn: int) -> None:
        mine = leases[queue][12 * turn : 12 * turn + 12]
        async with asyncio.TaskGroup() as tasks:
            for start in range(0, 12, 3):
                outcome = COMPLETE if start % 2 else FAIL_FOR_GOOD
                tasks.create_task(_settle(driver, mine[start : start + 3], outcome))
            for job_id in waiting[queue][3 * turn : 3 * turn + 3]:
                tasks.create_task(driver.jobs.cancel([job_id], MINUTE))

    for turn in range(3):
        shut = turn % 2
        key = replicas[shut]._cold.replica.number
        async with asyncio.TaskGroup() as tasks:
            opened, closed = asyncio.Event(), asyncio.Event()

            def guard(c: Connection, key: int = key, opened: asyncio.Event = opened, closed: asyncio.Event = closed) -> None:
                c.execute(text(f"select pg_advisory_xact_lock(4711, {key})"))
                closed.set()
                await_only(opened.wait())

            tasks.create_task(replicas.one._store.run(guard))
            await closed.wait()
            held = tasks.create_task(work(replicas[shut], ("one", "two")[shut], turn))
            await work(replicas[1 - shut], ("two", "one")[shut], turn)
            for follower in followers:
                await follower.read()
            assert not held.done()
            opened.set()
        for follower in followers:
            await follower.read()

    every = [*(lease.id for some in leases.values() for lease in some), *(job_id for some in waiting.values() for job_id in some)]
    for follower in followers:
        assert Counter(follower.seen) == Counter(every)


async def test_a_transaction_that_is_run_again_logs_what_it_ended_once(replicas: Replicas) -> None:
    [job_id] = await store_all(replicas.one, [new_job()])

    def fail(c: Connection) -> None:
        cancel(c, replicas.one._cold, [job_id], 1)
        raise ZeroDivisionError

    with pytest.raises(Exception):  # noqa: B017 - of any kind: what matters is what stays
        await replicas.one._store.run(fail)
    for _ in range(3):
        await replicas.one.jobs.cancel([job_id], MINUTE)

    assert await Follower(replicas.one).read() == [job_id]


async def test_a_reader_of_failures_passes_over_flushes_of_completions_up_to_one_that_failed(replicas: Replicas) -> None:
    driver = replicas.one
    worker = await connect(driver)
    stored = await store_all(driver, [new_job() for _ in range(5)])
    leases = {lease.id: lease for lease in await claim(driver, worker)}
    for job_id in stored[:3]:
        await _settle(driver, [leases[job_id]], COMPLETE)

    passed = await driver.events.read(_failures({}))
    await _settle(driver, [leases[stored[3]]], COMPLETE)
    await _settle(driver, [leases[stored[4]]], FAIL_FOR_GOOD)
    found = await driver.events.read(_failures(passed.position))

    assert (passed.flushes, passed.complete) == ([], True)
    assert [[event.id for _, event in flush.events] for flush in found.flushes] == [[stored[4]]]
    assert (found.position, found.complete) == ((await driver.events.end()).position, True)


async def test_a_reader_of_failures_passes_over_no_flush_that_is_not_kept_any_more(replicas: Replicas) -> None:
    driver = replicas.one
    worker = await connect(driver)
    await store_all(driver, [new_job() for _ in range(3)])
    for lease in await claim(driver, worker):
        await _settle(driver, [lease], COMPLETE)
    await driver.events.forget(-MINUTE, 1)

    with pytest.raises(CursorExpired):
        await driver.events.read(_failures({}))


def _failures(after: Position) -> LogQuery:
    return LogQuery(after=after, wanted=lambda _queue, _kind: True, states=frozenset({State.FAILED}))

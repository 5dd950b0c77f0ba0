"""Four servers on one database: whatever they do at once, no two jobs have one unique key."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from random import Random

import pytest
import pytest_asyncio
from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import COMPLETE
from protojobs_service.domain.unique import OnConflict, Unique, UniqueScope
from protojobs_service.drivers.sql.driver import SqlDriver
from protojobs_service.drivers.sql.mysql import MysqlStore
from protojobs_service.drivers.sql.postgres import PostgresStore
from protojobs_service.drivers.sql.store import Options
from protojobs_service.port import Claim, Dispatched, DispatchVerdict, Opening, Retake, Settlement

from tests.contract.acts import new_job
from tests.contract.backends import FakeRoom, fingerprint, unique_of
from tests.unit.drivers.kit import ready_url

pytestmark = pytest.mark.asyncio

MINUTE = timedelta(minutes=1)
STORED = (DispatchVerdict.CREATED, DispatchVerdict.REPLACED)


@pytest_asyncio.fixture(
    params=[pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("mariadb", marks=pytest.mark.mariadb)]
)
async def drivers(request: pytest.FixtureRequest) -> AsyncGenerator[list[SqlDriver]]:
    """Open four drivers on one database."""
    url = await ready_url(request)
    make = PostgresStore if request.param == "postgres" else MysqlStore
    drivers = [
        SqlDriver(make(Options(url=url)), fingerprint=fingerprint, unique_of=unique_of, rng=Random(1), replica=name)
        for name in ("one", "two", "three", "four")
    ]
    for driver in drivers:
        await driver.open(FakeRoom())
    yield drivers
    for driver in drivers:
        await driver.close()


def _job(on_conflict: OnConflict, key: str = "key", delay: timedelta | None = None) -> NewJob:
    unique = Unique(key=key, scope=UniqueScope.UNTIL_DONE, on_conflict=on_conflict)
    return new_job(unique=unique, delay=delay)


async def test_eight_producers_that_meet_make_one_job(drivers: list[SqlDriver]) -> None:
    for on_conflict in [*OnConflict] * 3:
        key = secrets.token_hex(8)
        jobs = [_job(on_conflict, key, MINUTE) for _ in range(8)]

        calls = [drivers[place % 4].jobs.dispatch([job]) for place, job in enumerate(jobs)]
        answers = [answer for [answer] in await asyncio.gather(*calls)]

        verdicts = Counter(answer.verdict for answer in answers)
        records = await drivers[0].jobs.get([job.id for job in jobs])
        assert verdicts[DispatchVerdict.CREATED] == 1
        assert sum(record is not None and record.state is State.SCHEDULED for record in records) == 1
        assert sum(record is not None for record in records) == sum(verdicts[each] for each in STORED)
    assert await drivers[0].queues.reconcile() == 0


async def test_batches_with_the_same_keys_in_another_order_do_not_stand_in_each_others_way(drivers: list[SqlDriver]) -> None:
    keys = [str(number) for number in range(50)]
    batches = [[_job(OnConflict.REJECT, key) for key in order] for order in (keys, keys[::-1], keys[::2] + keys[1::2], keys)]

    answers = await asyncio.gather(*(driver.jobs.dispatch(batch) for driver, batch in zip(drivers, batches, strict=True)))

    created = [job for batch, found in zip(batches, answers, strict=True) for job, a in zip(batch, found, strict=True) if _made(a)]
    assert sorted(job.unique.key for job in created if job.unique) == sorted(keys)
    assert await drivers[0].queues.reconcile() == 0


async def test_key_passes_from_hand_to_hand_under_a_storm(drivers: list[SqlDriver]) -> None:
    stored: list[JobId] = []

    async def produce(driver: SqlDriver, on_conflict: OnConflict) -> None:
        for _ in range(8):
            job = _job(on_conflict)
            [answer] = await driver.jobs.dispatch([job])
            if _made(answer):
                stored.append(job.id)
            assert await _live(driver, list(stored)) <= 1

    async def work(driver: SqlDriver) -> None:
        handle = await _connect(driver)
        for turn in range(8):
            for lease in await driver.jobs.claim([handle]):
                await driver.jobs.settle([Settlement(lease.id, lease.attempt, lease.handle, COMPLETE)])
            if turn % 2:
                await driver.jobs.cancel(stored[-1:], MINUTE)

    async def retry(driver: SqlDriver) -> None:
        for _ in range(8):
            await driver.jobs.retake([Retake(id=job_id) for job_id in stored[:3]])

    one, two, three, four = drivers
    producing = [produce(one, OnConflict.REPLACE), produce(two, OnConflict.REJECT), produce(three, OnConflict.REPLACE)]
    await asyncio.gather(*producing, work(three), work(four), retry(four))

    last = await _connect(one)
    while leases := await one.jobs.claim([last]):
        await one.jobs.settle([Settlement(lease.id, lease.attempt, lease.handle, COMPLETE) for lease in leases])
    [answer] = await two.jobs.dispatch([_job(OnConflict.REJECT)])
    assert answer.verdict is DispatchVerdict.CREATED
    assert await one.queues.reconcile() == 0


def _made(answer: Dispatched) -> bool:
    return answer.verdict in STORED


async def _live(driver: SqlDriver, ids: Sequence[JobId]) -> int:
    records = await driver.jobs.get(ids)
    return sum(record is not None and not record.state.is_final for record in records)


async def _connect(driver: SqlDriver) -> Claim:
    opening = Opening(
        secret=secrets.token_bytes(16),
        stream_no=1,
        worker="w",
        sdk="s",
        sdk_version="1",
        queues=["q"],
        kinds=[],
        slots=10,
        ttl=MINUTE,
    )
    return Claim((await driver.sessions.open(opening)).handle, ("q",), None, frozenset(), 10, 0)

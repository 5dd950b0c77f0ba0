"""Aging: waiting raises priority, by one for each interval."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from protojobs_service.domain.job import JobId
from protojobs_service.domain.outcome import Release
from protojobs_service.port import Driver, ListQuery

from tests.contract.acts import MINUTE, SECOND, Worker, claim, connect, run, settle_well, skip, store
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio


async def age(driver: Driver, interval: timedelta | None = MINUTE) -> None:
    await driver.queues.change("q", lambda settings: replace(settings, aging=interval))


async def wait(driver: Driver, clock: Clock, span: timedelta) -> None:
    """Let time go by, and the driver see it: positions are the time that it has measured last."""
    await skip(driver, clock, span)
    await driver.jobs.list(ListQuery(queues=["q"], limit=1))


async def in_order(driver: Driver, worker: Worker, n: int) -> Sequence[JobId]:
    """Claim n jobs one by one."""
    return [lease.id for _ in range(n) for lease in await claim(driver, worker, limit=1)]


@pytest.mark.parametrize("limit", [0, 100], ids=["unlimited", "limited"])
async def test_waiting_lifts_a_job_by_one_priority_for_each_interval(driver: Driver, clock: Clock, limit: int) -> None:
    await age(driver)
    await driver.queues.change("q", lambda settings: replace(settings, max_in_flight=limit))
    old = await store(driver, priority=2)
    await wait(driver, clock, 3.5 * MINUTE)
    four, five, six = [await store(driver, priority=priority) for priority in (4, 5, 6)]
    worker = await connect(driver)

    assert await in_order(driver, worker, 4) == [six, old, five, four]


async def test_without_aging_priority_alone_decides(driver: Driver, clock: Clock) -> None:
    await age(driver)
    await age(driver, None)
    old = await store(driver, priority=2)
    await wait(driver, clock, 60 * MINUTE)
    young = await store(driver, priority=3)
    worker = await connect(driver)

    assert await in_order(driver, worker, 2) == [young, old]


async def test_none_grows_beyond_the_highest_priority(driver: Driver, clock: Clock) -> None:
    await age(driver, SECOND)
    first = await store(driver, priority=9)
    old = await store(driver, priority=1)
    await wait(driver, clock, 60 * MINUTE)
    young = await store(driver, priority=9)
    worker = await connect(driver)

    assert await in_order(driver, worker, 3) == [first, old, young]


async def test_a_job_counts_from_when_it_became_pending(driver: Driver, clock: Clock) -> None:
    await age(driver)
    delayed = await store(driver, priority=2, delay=10 * MINUTE)
    await wait(driver, clock, 11 * MINUTE)
    await driver.jobs.promote(10)
    young = await store(driver, priority=4)
    worker = await connect(driver)

    assert await in_order(driver, worker, 1) == [young]
    again = await store(driver, priority=4)
    await wait(driver, clock, 3 * MINUTE)
    last = await store(driver, priority=4)
    assert await in_order(driver, worker, 3) == [again, delayed, last]


async def test_kinds_age_together(driver: Driver, clock: Clock) -> None:
    await age(driver)
    old = await store(driver, kind="slow", priority=2)
    await wait(driver, clock, 3 * MINUTE)
    young = [await store(driver, kind="quick", priority=4) for _ in range(2)]
    worker = await connect(driver)

    assert await in_order(driver, worker, 3) == [old, *young]


async def test_a_job_that_comes_back_is_first_of_its_priority(driver: Driver, clock: Clock) -> None:
    await age(driver)
    worker = await connect(driver)
    returned = await store(driver, priority=5)
    await settle_well(driver, worker, await run(driver, worker, returned), Release())
    old = await store(driver, priority=5)
    await wait(driver, clock, SECOND)
    high = await store(driver, priority=6)

    assert await in_order(driver, worker, 3) == [high, returned, old]


async def test_queues_of_a_worker_keep_their_own_order(driver: Driver, clock: Clock) -> None:
    await age(driver)
    old, other = await store(driver, priority=1), await store(driver, "r", priority=1)
    await wait(driver, clock, 5 * MINUTE)
    young, high = await store(driver, priority=5), await store(driver, "r", priority=2)
    worker = await connect(driver, "q", "r")

    assert [lease.id for lease in await claim(driver, worker)] == [old, young, high, other]

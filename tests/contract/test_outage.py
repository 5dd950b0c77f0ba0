"""Time in which no server could hear a worker does not count."""

from dataclasses import replace
from datetime import timedelta

import pytest
from protojobs_service.domain.lifecycle import State
from protojobs_service.port import Driver, SettleVerdict

from tests.contract.acts import (
    EXACT,
    MINUTE,
    SECOND,
    connect,
    held,
    pass_time,
    reconnect,
    settle,
    state_of,
    store_and_run,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio


async def test_rescue_after_an_outage_first_gives_its_time_back(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await driver.sessions.beat()
    await clock.advance(10 * MINUTE)

    first = await driver.sessions.rescue(100)
    second = await driver.sessions.rescue(100)

    assert (list(first), list(second)) == ([], [])
    assert await state_of(driver, lease.id) is State.RUNNING
    assert list(await driver.sessions.renew([worker.handle])) == []


async def test_rescue_that_meets_an_outage_does_nothing_else(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, unary=True)
    lease = await store_and_run(driver, worker, policy=replace(EXACT, run_timeout=timedelta(seconds=5)))
    await driver.sessions.beat()
    await clock.advance(MINUTE)

    first = await driver.sessions.rescue(100)
    second = await driver.sessions.rescue(100)

    assert (list(first), [item.id for item in second]) == ([], [lease.id])


async def test_worker_that_stays_away_after_an_outage_is_rescued_in_the_end(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await driver.sessions.beat()
    await clock.advance(10 * MINUTE)
    await driver.sessions.beat()

    await pass_time(driver, clock, 25 * SECOND)
    early = await driver.sessions.rescue(100)
    await pass_time(driver, clock, 10 * SECOND)
    late = await driver.sessions.rescue(100)

    assert (list(early), [item.id for item in late]) == ([], [lease.id])


async def test_every_session_has_ten_seconds_after_an_outage(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, ttl=8 * SECOND)
    lease = await store_and_run(driver, worker)
    await pass_time(driver, clock, 7 * SECOND)
    await clock.advance(MINUTE)
    await driver.sessions.beat()

    await pass_time(driver, clock, 9 * SECOND)
    assert await driver.sessions.rescue(100) == []

    resumed, opened = await reconnect(driver, worker, [held(lease)])
    assert list(opened.kept) == [held(lease)]
    assert (await settle(driver, resumed, lease)).verdict is SettleVerdict.OK


async def test_ten_seconds_after_an_outage_are_not_for_ever(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, ttl=8 * SECOND)
    lease = await store_and_run(driver, worker)
    await pass_time(driver, clock, 7 * SECOND)
    await clock.advance(MINUTE)
    await driver.sessions.beat()

    await pass_time(driver, clock, 12 * SECOND)

    assert [item.id for item in await driver.sessions.rescue(100)] == [lease.id]


async def test_short_gaps_are_no_outage(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, ttl=20 * SECOND)
    lease = await store_and_run(driver, worker)
    await driver.sessions.beat()  # to store the first job of a queue may have taken its time

    for _ in range(9):
        await clock.advance(2.4 * SECOND)
        await driver.sessions.beat()

    assert [item.id for item in await driver.sessions.rescue(100)] == [lease.id]


async def test_half_the_smallest_ttl_is_an_outage(driver: Driver, clock: Clock) -> None:
    await connect(driver, ttl=timedelta(minutes=10))
    quick = await connect(driver, ttl=2 * SECOND)
    lease = await store_and_run(driver, quick)
    await driver.sessions.beat()
    await clock.advance(2.4 * SECOND)

    first = await driver.sessions.rescue(100)
    second = await driver.sessions.rescue(100)

    assert (list(first), list(second)) == ([], [])
    assert await state_of(driver, lease.id) is State.RUNNING


async def test_rescue_is_a_beat_itself(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, ttl=20 * SECOND)
    lease = await store_and_run(driver, worker)
    rescued: list[object] = []

    for _ in range(11):
        await clock.advance(2 * SECOND)
        rescued += await driver.sessions.rescue(100)

    assert len(rescued) == 1
    assert await state_of(driver, lease.id) is State.PENDING


async def test_outage_without_sessions_is_nobodys_matter(driver: Driver, clock: Clock) -> None:
    await driver.sessions.beat()
    await clock.advance(10 * MINUTE)

    await driver.sessions.beat()

    assert await driver.sessions.rescue(100) == []

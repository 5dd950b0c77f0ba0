"""Jobs whose expire_at passes while they wait."""

from dataclasses import replace
from datetime import timedelta

import pytest
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.outcome import COMPLETE, Release
from protojobs_service.port import Driver, Retake

from tests.contract.acts import (
    EXACT,
    FAIL,
    MINUTE,
    SECOND,
    claim,
    connect,
    die,
    new_job,
    outcomes_of,
    record,
    run,
    settle,
    settle_well,
    skip,
    snooze,
    state_of,
    states_of,
    store,
    store_all,
    store_and_run,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("delay", [None, timedelta(hours=1)], ids=["pending", "scheduled"])
async def test_waiting_job_ends_when_its_deadline_has_passed(driver: Driver, clock: Clock, delay: timedelta | None) -> None:
    job_id = await store(driver, delay=delay, expire_at=await driver.ping() + 10 * SECOND)
    await clock.advance(11 * SECOND)

    assert await driver.jobs.expire(100) == 1

    found = await record(driver, job_id)
    assert (found.state, found.attempt, found.next_at) == (State.EXPIRED, 1, None)
    assert found.finished_at is not None
    assert await outcomes_of(driver, job_id) == [(1, Code.EXPIRED)]


async def test_nothing_ends_before_its_deadline(driver: Driver, clock: Clock) -> None:
    job_id = await store(driver, expire_at=await driver.ping() + 10 * SECOND)
    await clock.advance(8 * SECOND)

    assert await driver.jobs.expire(100) == 0

    assert await state_of(driver, job_id) is State.PENDING


async def test_overdue_job_is_never_leased(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    overdue = await store(driver, priority=9, expire_at=await driver.ping() + SECOND)
    good = await store(driver)
    await clock.advance(2 * SECOND)

    leases = await claim(driver, worker)
    await driver.jobs.expire(100)

    assert [lease.id for lease in leases] == [good]
    assert await state_of(driver, overdue) is State.EXPIRED
    assert await outcomes_of(driver, overdue) == [(1, Code.EXPIRED)]


async def test_overdue_job_does_not_run_when_it_becomes_due(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    job_id = await store(driver, delay=5 * SECOND, expire_at=await driver.ping() + 8 * SECOND)
    await skip(driver, clock, 10 * SECOND)
    await driver.jobs.promote(100)

    leases = await claim(driver, worker)
    await driver.jobs.expire(100)

    assert list(leases) == []
    assert await state_of(driver, job_id) is State.EXPIRED


async def test_running_job_is_left_to_its_worker(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, expire_at=await driver.ping() + 2 * SECOND)
    await skip(driver, clock, 3 * SECOND)

    expired = await driver.jobs.expire(100)

    assert (expired, await state_of(driver, lease.id)) == (0, State.RUNNING)
    assert (await settle(driver, worker, lease, COMPLETE)).state is State.COMPLETED


async def test_job_that_came_back_unstarted_still_expires(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, expire_at=await driver.ping() + 2 * SECOND)
    await settle_well(driver, worker, lease, Release())
    await skip(driver, clock, 3 * SECOND)

    await driver.jobs.expire(100)

    assert await state_of(driver, lease.id) is State.EXPIRED
    assert await outcomes_of(driver, lease.id) == [(1, Code.RELEASED), (2, Code.EXPIRED)]


async def test_job_that_comes_back_unstarted_after_its_deadline_expires(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, expire_at=await driver.ping() + 2 * SECOND)
    await skip(driver, clock, 3 * SECOND)
    assert await driver.jobs.expire(100) == 0
    await settle_well(driver, worker, lease, Release())
    await skip(driver, clock, 15 * SECOND)

    again = await claim(driver, worker)
    await driver.jobs.expire(100)

    assert list(again) == []
    assert await state_of(driver, lease.id) is State.EXPIRED


async def test_failed_attempt_ends_the_deadline(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, policy=EXACT, expire_at=await driver.ping() + 2 * SECOND)
    await settle_well(driver, worker, lease, FAIL)
    await skip(driver, clock, 11 * SECOND)

    expired = await driver.jobs.expire(100)
    await driver.jobs.promote(100)

    assert expired == 0
    assert (await run(driver, worker, lease.id)).attempt == 2


async def test_snooze_ends_the_deadline(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, expire_at=await driver.ping() + 2 * SECOND)
    await settle_well(driver, worker, lease, snooze(5))
    await skip(driver, clock, 6 * SECOND)

    expired = await driver.jobs.expire(100)
    await driver.jobs.promote(100)

    assert expired == 0
    assert (await run(driver, worker, lease.id)).attempt == 2


async def test_crash_ends_the_deadline(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, expire_at=await driver.ping() + 2 * SECOND)
    await die(driver, clock, worker, lease)
    await driver.sessions.rescue(100)
    await skip(driver, clock, 3 * SECOND)

    assert await driver.jobs.expire(100) == 0
    assert (await run(driver, await connect(driver), lease.id)).attempt == 2


async def test_expiry_is_bounded_and_the_next_call_goes_on(driver: Driver, clock: Clock) -> None:
    expire_at = await driver.ping() + MINUTE
    ids = await store_all(driver, [new_job(expire_at=expire_at) for _ in range(5)])
    await clock.advance(2 * MINUTE)

    turns = [await driver.jobs.expire(2) for _ in range(4)]

    assert turns == [2, 2, 1, 0]
    assert await states_of(driver, ids) == [State.EXPIRED] * 5


async def test_expired_job_is_not_promoted_later(driver: Driver, clock: Clock) -> None:
    job_id = await store(driver, delay=MINUTE, expire_at=await driver.ping() + 10 * SECOND)
    await clock.advance(11 * SECOND)
    await driver.jobs.expire(100)
    await clock.advance(2 * MINUTE)

    assert await driver.jobs.promote(100) == 0
    assert await state_of(driver, job_id) is State.EXPIRED


async def test_retaken_and_expired_again_consumes_one_number_each(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, policy=replace(EXACT, max_retries=0))
    await settle_well(driver, worker, lease, FAIL)
    attempts = (await record(driver, lease.id)).attempt

    for _ in range(2):
        await driver.jobs.retake([Retake(id=lease.id, expire_at=await driver.ping() + SECOND)])
        await clock.advance(2 * SECOND)
        await driver.jobs.expire(100)

    assert (await record(driver, lease.id)).attempt == attempts + 2
    assert [code for _, code in await outcomes_of(driver, lease.id)] == [Code.FAILED_RETRIED, Code.EXPIRED_RETRIED, Code.EXPIRED]

"""Deleting jobs: nothing can be read any more, and the id stays taken."""

import pytest
from protojobs_service.domain.lifecycle import State
from protojobs_service.port import Driver, ListQuery

from tests.contract.acts import (
    MINUTE,
    claim,
    connect,
    new_id,
    numbers_of,
    put_in,
    record,
    settle_well,
    state_of,
    store,
    store_and_run,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio

DELETABLE = [state for state in State if state is not State.RUNNING]


@pytest.mark.parametrize("state", DELETABLE)
async def test_deleted_job_is_gone_for_every_reader(driver: Driver, clock: Clock, state: State) -> None:
    job_id = await put_in(driver, clock, state, labels={"a": "1"})

    [result] = await driver.jobs.delete([job_id])

    assert result == (True, None)
    assert await driver.jobs.get([job_id]) == [None]
    assert await driver.jobs.attempts(job_id) is None
    assert list((await driver.jobs.list(ListQuery())).jobs) == []
    assert list((await driver.jobs.list(ListQuery(labels={"a": "1"}))).jobs) == []
    assert sum((await numbers_of(driver)).counts.values()) == 0


@pytest.mark.parametrize("state", [State.SCHEDULED, State.PENDING, State.RETRYING])
async def test_deleted_job_never_runs(driver: Driver, clock: Clock, state: State) -> None:
    job_id = await put_in(driver, clock, state, expire_at=await driver.ping() + 5 * MINUTE)
    await driver.jobs.delete([job_id])
    await clock.advance(10 * MINUTE)

    assert (await driver.jobs.promote(100), await driver.jobs.expire(100)) == (0, 0)
    assert await claim(driver, await connect(driver)) == []


async def test_running_job_is_refused(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)

    [result] = await driver.jobs.delete([lease.id])

    assert result == (True, State.RUNNING)
    assert await state_of(driver, lease.id) is State.RUNNING
    await settle_well(driver, worker, lease)


async def test_delete_that_is_repeated_is_answered_as_the_first_time(driver: Driver) -> None:
    job_id = await store(driver)

    results = await driver.jobs.delete([job_id, new_id(), job_id])
    again = await driver.jobs.delete([job_id])

    assert results == [(True, None), (False, None), (True, None)]
    assert list(again) == [(True, None)]
    assert sum((await numbers_of(driver)).counts.values()) == 0


async def test_other_jobs_stay(driver: Driver) -> None:
    job_id, other = await store(driver), await store(driver)
    before = await record(driver, other)

    await driver.jobs.delete([job_id])

    assert await record(driver, other) == before
    assert [lease.id for lease in await claim(driver, await connect(driver))] == [other]

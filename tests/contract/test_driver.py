"""A driver as a whole: opened, asked what it is, closed."""

import pytest
from protojobs_service.domain.errors import QuotaExceeded
from protojobs_service.domain.lifecycle import State
from protojobs_service.port import Driver

from tests.contract.acts import SECOND, new_job, states_of, store, store_all
from tests.contract.backends import Clock, FakeRoom

pytestmark = pytest.mark.asyncio


async def test_driver_has_the_name_of_its_backend(driver: Driver, backend: str) -> None:
    assert driver.name == backend


async def test_capabilities_have_names_of_their_own_and_a_reason_where_they_lack(driver: Driver) -> None:
    capabilities = driver.capabilities()

    assert len({capability.name for capability in capabilities}) == len(capabilities)
    assert all(capability.available or capability.reason for capability in capabilities)


async def test_ping_is_the_stores_clock(driver: Driver, clock: Clock) -> None:
    first = await driver.ping()
    await clock.advance(10 * SECOND)
    second = await driver.ping()

    assert first.tzinfo is not None
    assert 10 * SECOND <= second - first < 20 * SECOND


async def test_maintenance_may_be_repeated(driver: Driver) -> None:
    job_id = await store(driver)

    await driver.maintain()
    await driver.maintain()

    assert await states_of(driver, [job_id]) == [State.PENDING]


async def test_close_may_be_repeated(driver: Driver) -> None:
    await driver.close()
    await driver.close()


async def test_store_takes_no_more_queues_than_its_cap(driver: Driver, room: FakeRoom) -> None:
    await store_all(driver, [new_job(f"q{n}") for n in range(1000)])
    room.arrivals.clear()
    fits, too_many = new_job("q1"), new_job("one-more")

    with pytest.raises(QuotaExceeded):
        await driver.jobs.dispatch([fits, too_many])

    assert await states_of(driver, [fits.id, too_many.id]) == [None, None]
    assert await store(driver, "q1")

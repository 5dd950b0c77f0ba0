"""Brokers and side stores that go away while jobs come in: what was acknowledged runs, and runs once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.kafka.topics import topic_of

from tests.brokers.cluster import KafkaCluster
from tests.chaos.waiting import until
from tests.contract.acts import new_job, state_of
from tests.kafka.installation import Crew, Producer, opened, options_of, ready, until_shared
from tests.kafka.sides import Side

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

MINUTE = timedelta(minutes=1)


@pytest_asyncio.fixture
async def side() -> AsyncIterator[Side]:
    """Lend a store in memory."""
    side = Side()
    await side.prepare()
    yield side


@pytest.mark.kill
async def test_what_is_acknowledged_while_the_broker_is_killed_and_started_again_runs_once(
    own_kafka: KafkaCluster, side: Side
) -> None:
    [broker] = own_kafka.brokers
    async with opened(side.as_driver(), options_of(own_kafka, "own")) as driver:
        crew, producer = Crew(), Producer(driver)
        first = await ready(driver)
        over = asyncio.Event()
        producing = asyncio.create_task(producer.dispatch_until(over.is_set))
        await until("jobs run", lambda: crew.work(driver))
        await until("many are acknowledged", lambda: len(producer.acknowledged) >= 200)

        await asyncio.to_thread(broker.kill)
        await until("a dispatch is refused", lambda: producer.refused)
        delayed = new_job(delay=MINUTE)
        await driver.jobs.dispatch([delayed])
        assert await state_of(driver, delayed.id) is State.SCHEDULED
        await asyncio.to_thread(broker.start)
        before = len(producer.acknowledged)
        await until("dispatches are acknowledged again", lambda: len(producer.acknowledged) >= before + 200, within=40)
        over.set()
        await producing

        await crew.run_all(driver, [first, *producer.acknowledged])


@pytest.mark.kill
async def test_what_is_acknowledged_while_leaders_move_runs_once(three_kafkas: KafkaCluster, side: Side) -> None:
    async with opened(side.as_driver(), options_of(three_kafkas, "three")) as driver:
        crew, producer = Crew(), Producer(driver)
        first = await ready(driver)
        over = asyncio.Event()
        producing = asyncio.create_task(producer.dispatch_until(over.is_set))
        await until("many are acknowledged", lambda: len(producer.acknowledged) >= 200)

        leader = await asyncio.to_thread(three_kafkas.leader, topic_of("three", "q", 9))
        assert leader is not None
        await asyncio.to_thread(leader.kill)
        before = len(producer.acknowledged)
        await until("dispatches go on", lambda: len(producer.acknowledged) >= before + 400, within=40)
        over.set()
        await producing

        await crew.run_all(driver, [first, *producer.acknowledged])


async def test_while_the_side_store_is_away_plain_jobs_are_taken_and_others_refused(
    kafka_broker: KafkaCluster, kafka_prefix: str, side: Side
) -> None:
    async with opened(side.as_driver(), options_of(kafka_broker, kafka_prefix)) as driver:
        crew = Crew()
        first = await ready(driver)
        await crew.run_all(driver, [first])
        side.is_down = True

        plain = [new_job() for _ in range(50)]
        delayed, mixed = new_job(delay=MINUTE), [new_job(), new_job(delay=MINUTE)]
        await driver.jobs.dispatch(plain)
        for refused in ([delayed], mixed):
            with pytest.raises(StoreUnavailable):
                await driver.jobs.dispatch(refused)
        with pytest.raises(StoreUnavailable):
            await driver.queues.stats("q")

        side.is_down = False
        await crew.run_all(driver, [job.id for job in plain])
        assert [found for found in await driver.jobs.get([delayed.id, mixed[1].id]) if found is not None] == []
        await driver.jobs.dispatch([delayed])
        await driver.jobs.dispatch(mixed)
        assert await state_of(driver, delayed.id) is State.SCHEDULED
        await crew.run_all(driver, [mixed[0].id])


async def test_a_server_that_starts_while_the_side_store_is_away_is_told_so(
    kafka_broker: KafkaCluster, kafka_prefix: str, side: Side
) -> None:
    side.is_down = True

    with pytest.raises(StoreUnavailable):
        async with opened(side.as_driver(), options_of(kafka_broker, kafka_prefix)):
            pass


async def test_partitions_are_taken_over_once_the_side_store_is_back(
    kafka_broker: KafkaCluster, kafka_prefix: str, side: Side
) -> None:
    options = options_of(kafka_broker, kafka_prefix)
    async with opened(side.as_driver(), options) as driver:
        crew, producer = Crew(), Producer(driver)
        first = await ready(driver)
        await producer.dispatch()
        await crew.run_all(driver, [first, *producer.acknowledged])

        async with opened(side.as_driver(), options):
            await until_shared(kafka_broker, options, 1, 1)
            side.is_down = True
        # What the other had is given to the first while nobody can read where it begins.
        await until("a partition was offered", lambda: any("kafka:topic" in call for call in side.asked_in_vain))
        side.is_down = False

        await until_shared(kafka_broker, options, 2)
        await producer.dispatch(100)
        await crew.run_all(driver, producer.acknowledged)

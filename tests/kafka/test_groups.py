"""Servers that join and leave: partitions move, jobs do not get lost, and none runs twice."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from protojobs_service.drivers.kafka.backlog import HIGH_JOBS
from protojobs_service.drivers.kafka.options import Options

from tests.brokers.cluster import KafkaCluster
from tests.contract.acts import new_job
from tests.kafka.installation import Crew, Producer, opened, options_of, ready, until_shared
from tests.kafka.sides import Side

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


@pytest_asyncio.fixture
async def side() -> AsyncIterator[Side]:
    """Lend a store in memory."""
    side = Side()
    await side.prepare()
    yield side


@pytest.fixture(params=["classic", "consumer"])
def options(request: pytest.FixtureRequest, kafka_broker: KafkaCluster, kafka_prefix: str) -> Options:
    """Return options of a group that notices changes quickly, with each protocol in turn."""
    options = options_of(kafka_broker, kafka_prefix, protocol=request.param)
    if options.protocol == "consumer":  # the broker says how often it is asked, by default every 5 s
        quick = {"consumer.heartbeat.interval.ms": "200", "consumer.session.timeout.ms": "1500"}
        entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in quick.items()]
        admin = kafka_broker.admin()
        for future in admin.incremental_alter_configs(
            [ConfigResource(ResourceType.GROUP, options.group_id, incremental_configs=entries)]
        ).values():
            future.result(10)
    return options


async def test_members_that_join_and_leave_again_and_again_lose_nothing_and_run_nothing_twice(
    kafka_broker: KafkaCluster, side: Side, options: Options
) -> None:
    crew, over = Crew(), asyncio.Event()
    async with opened(side.as_driver(), options) as driver:
        first = await ready(driver)
        producer = Producer(driver)

        async def go_on() -> None:
            while not over.is_set():
                await producer.dispatch(50)
                await crew.work(driver)

        working = asyncio.create_task(go_on())
        for _ in range(3):
            async with opened(side.as_driver(), options) as other:
                await until_shared(kafka_broker, options, 1, 1)
                await crew.work(other)
                async with opened(side.as_driver(), options):
                    await until_shared(kafka_broker, options, 0, 1, 1)
            await until_shared(kafka_broker, options, 2)
        over.set()
        await working

        await crew.run_all(driver, [first, *producer.acknowledged])


async def test_a_partition_whose_reading_paused_when_it_left_is_read_on_when_it_comes_back(
    kafka_broker: KafkaCluster, side: Side, options: Options
) -> None:
    crew = Crew()
    async with opened(side.as_driver(), options) as driver:
        first = await ready(driver)
        jobs = [new_job() for _ in range(5 * HIGH_JOBS)]
        for start in range(0, len(jobs), 1000):
            await driver.jobs.dispatch(jobs[start : start + 1000])

        async with opened(side.as_driver(), options):
            await until_shared(kafka_broker, options, 1, 1)
        await until_shared(kafka_broker, options, 2)

        await crew.run_all(driver, [first, *(job.id for job in jobs)], within=60)


async def test_offsets_that_were_never_committed_cost_nothing(kafka_broker: KafkaCluster, side: Side, options: Options) -> None:
    crew = Crew()
    async with opened(side.as_driver(), options) as driver:
        first = await ready(driver)
        producer = Producer(driver)
        await producer.dispatch(500)
        await crew.run_all(driver, [first, *producer.acknowledged])
    admin = kafka_broker.admin()
    for future in admin.delete_consumer_groups([options.group_id]).values():
        future.result(10)

    async with opened(side.as_driver(), options) as driver:
        producer.driver = driver
        await ready(driver)
        await producer.dispatch(100)
        await crew.run_all(driver, producer.acknowledged)


async def test_an_offset_that_was_moved_back_by_a_stale_commit_runs_nothing_twice(
    kafka_broker: KafkaCluster, side: Side, options: Options
) -> None:
    crew = Crew()
    async with opened(side.as_driver(), options) as driver:
        first = await ready(driver)
        producer = Producer(driver)
        await producer.dispatch(500)
        await crew.run_all(driver, [first, *producer.acknowledged])
    admin = kafka_broker.admin()
    topics = [name for name in admin.list_topics(timeout=10).topics if name.endswith(".q.9")]
    back = [TopicPartition(topic, number, 0) for topic in topics for number in range(2)]
    [future] = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(options.group_id, back)]).values()
    future.result(10)

    async with opened(side.as_driver(), options) as driver:
        await ready(driver)
        await until_shared(kafka_broker, options, 2)
        producer.driver = driver
        await producer.dispatch(100)
        await crew.run_all(driver, producer.acknowledged)


async def test_a_server_that_was_shut_out_of_the_group_joins_it_again(
    kafka_broker: KafkaCluster, kafka_prefix: str, side: Side
) -> None:
    crew, options = Crew(), options_of(kafka_broker, kafka_prefix, instance="the-same")
    async with opened(side.as_driver(), options) as driver:
        first = await ready(driver)
        producer = Producer(driver)
        await producer.dispatch(100)
        await crew.run_all(driver, [first, *producer.acknowledged])

        async with opened(side.as_driver(), options) as other:
            producer.driver = other
            await ready(other)
            await producer.dispatch(100)
        producer.driver = driver
        await producer.dispatch(100)

        await crew.run_all(driver, producer.acknowledged)

"""Topics that others write to, cut or delete: what can be used is, and what was lost is said."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from confluent_kafka import TopicPartition
from confluent_kafka.admin import OffsetSpec
from protojobs_service.drivers.kafka.ledger import Ledger
from protojobs_service.drivers.kafka.options import MAX_RECORD_BYTES, Options
from protojobs_service.drivers.kafka.topics import Place, topic_of

from tests.brokers.cluster import KafkaCluster
from tests.chaos.waiting import until
from tests.contract.acts import new_job
from tests.kafka.installation import Crew, Producer, opened, options_of, ready
from tests.kafka.records import produce, read
from tests.kafka.sides import Side

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]


@pytest_asyncio.fixture
async def side() -> AsyncIterator[Side]:
    """Lend a store in memory."""
    side = Side()
    await side.prepare()
    yield side


@pytest.fixture
def options(kafka_broker: KafkaCluster, kafka_prefix: str) -> Options:
    """Return options with one partition a topic."""
    return options_of(kafka_broker, kafka_prefix, partitions=1)


def jobs_topic(options: Options) -> str:
    """Return the topic of queue `q`."""
    return topic_of(options.prefix, "q", 9)


def end_of(cluster: KafkaCluster, topic: str) -> int:
    """Return the offset behind the last record, as the broker says."""
    admin = cluster.admin()
    [future] = admin.list_offsets({TopicPartition(topic, 0): OffsetSpec.latest()}, request_timeout=10).values()
    return int(future.result().offset)


async def test_records_of_somebody_else_are_parked_and_jobs_go_on(kafka_broker: KafkaCluster, options: Options, side: Side) -> None:
    config = {"bootstrap.servers": kafka_broker.servers}
    async with opened(side.as_driver(), options) as driver:
        crew, producer = Crew(), Producer(driver)
        first = await ready(driver)
        await producer.dispatch()

        for value in (b"not ours", b"", b"PJ\1\0\0" + bytes(9) + b"q"):
            await asyncio.to_thread(produce, config, jobs_topic(options), value)
            await producer.dispatch()
        await crew.run_all(driver, [first, *producer.acknowledged])

        parked = [await asyncio.to_thread(read, config, f"{options.prefix}.dead-letter", n) for n in range(3)]
        assert parked == [b"not ours", b"", b"PJ\1\0\0" + bytes(9) + b"q"]


async def test_a_job_that_no_record_takes_goes_by_the_side_store(kafka_broker: KafkaCluster, options: Options, side: Side) -> None:
    async with opened(side.as_driver(), options) as driver:
        crew = Crew()
        first, small, large = await ready(driver), new_job(), new_job(body=bytes(MAX_RECORD_BYTES))
        await driver.jobs.dispatch([small])
        before = await asyncio.to_thread(end_of, kafka_broker, jobs_topic(options))

        await driver.jobs.dispatch([large])

        assert await asyncio.to_thread(end_of, kafka_broker, jobs_topic(options)) == before == 1
        await crew.run_all(driver, [first, small.id, large.id])


async def test_the_largest_job_that_a_record_takes_goes_through_its_topic(
    kafka_broker: KafkaCluster, options: Options, side: Side
) -> None:
    async with opened(side.as_driver(), options) as driver:
        first, large = await ready(driver), new_job(body=bytes(MAX_RECORD_BYTES - 2048))

        await driver.jobs.dispatch([large])

        assert await asyncio.to_thread(end_of, kafka_broker, jobs_topic(options)) == 1
        await Crew().run_all(driver, [first, large.id])


async def test_a_topic_that_is_deleted_is_made_again_and_its_queue_goes_on(
    kafka_broker: KafkaCluster, options: Options, side: Side
) -> None:
    topic = jobs_topic(options)
    async with opened(side.as_driver(), options) as driver:
        crew, producer = Crew(), Producer(driver)
        first = await ready(driver)
        await producer.dispatch(100)
        await crew.run_all(driver, [first, *producer.acknowledged])

        await asyncio.to_thread(kafka_broker.drop_topics, topic)

        async def is_there_again() -> bool:
            await producer.dispatch()
            await crew.work(driver)
            return topic in kafka_broker.admin().list_topics(timeout=10).topics and end_of(kafka_broker, topic) >= 3

        await until("jobs go through a new topic", is_there_again, within=40)
        await crew.run_all(driver, producer.acknowledged)


async def test_what_was_cleared_of_a_topic_clears_nothing_of_the_one_that_is_made_after_it(
    kafka_broker: KafkaCluster, options: Options, side: Side
) -> None:
    topic = jobs_topic(options)
    crew = Crew()
    async with opened(side.as_driver(), options) as driver:
        await crew.run_all(driver, [await ready(driver)])
    await Ledger(side.as_driver().side_store).raise_to("barrier", {Place(topic, 0): 50})
    await asyncio.to_thread(kafka_broker.drop_topics, topic)

    async with opened(side.as_driver(), options) as driver:
        crew, producer = Crew(), Producer(driver)
        await ready(driver)
        for _ in range(5):
            await producer.dispatch(1)
        assert end_of(kafka_broker, topic) >= 4
        await crew.run_all(driver, producer.acknowledged)


async def test_records_that_were_deleted_before_they_were_read_are_counted_and_the_others_run(
    kafka_broker: KafkaCluster, options: Options, side: Side, caplog: pytest.LogCaptureFixture
) -> None:
    crew = Crew()
    async with opened(side.as_driver(), options) as driver:
        first, early = await ready(driver), new_job()
        await driver.jobs.dispatch([early])
        await crew.run_all(driver, [first, early.id])
        side.is_down = True
        late = [new_job() for _ in range(10)]
        for job in late:
            await driver.jobs.dispatch([job])
    side.is_down = False
    await asyncio.to_thread(_cut, kafka_broker, jobs_topic(options), 4)

    with caplog.at_level(logging.ERROR):
        async with opened(side.as_driver(), options) as driver:
            await crew.run_all(driver, [job.id for job in late[3:]])

    assert [vars(each)["records"] for each in caplog.records if "records" in vars(each)] == [3]
    assert not {job.id for job in late[:3]} & crew.runs.keys()


def _cut(cluster: KafkaCluster, topic: str, before: int) -> None:
    admin = cluster.admin()
    for future in admin.delete_records([TopicPartition(topic, 0, before)]).values():
        future.result(10)

"""What a server says that does not get at its topics, or must not: clearly, and soon."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.kafka.installation import ForeignTopics
from protojobs_service.drivers.kafka.options import Options

from tests.brokers.cluster import KafkaCluster
from tests.kafka.installation import Crew, Producer, opened, options_of, ready
from tests.kafka.sides import Side

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

NOBODY_LISTENS = "127.0.0.1:1"
BOUND_S = 20.0


@pytest_asyncio.fixture
async def side() -> AsyncIterator[Side]:
    """Lend a store in memory."""
    side = Side()
    await side.prepare()
    yield side


async def refused(side: Side, options: Options, **fields: Any) -> StoreUnavailable:
    """Open a driver, which must fail in time; return the error."""
    with pytest.raises(StoreUnavailable) as caught:
        async with asyncio.timeout(BOUND_S), opened(side.as_driver(), options, **fields):
            pass
    return caught.value


async def test_brokers_that_cannot_be_reached(side: Side) -> None:
    error = await refused(side, Options(brokers=NOBODY_LISTENS, reach_s=1))

    assert "Kafka cannot be reached" in error.message
    assert NOBODY_LISTENS not in error.message


async def test_a_wrong_password(secure_kafka: KafkaCluster, side: Side) -> None:
    config = secure_kafka.secure(password="something else")
    brokers = config.pop("bootstrap.servers")

    error = await refused(side, options_of(secure_kafka, "wrong", brokers=brokers, security=config))

    assert error.message == "Kafka refuses the credentials of this service"


async def test_a_broker_that_wants_tls_and_is_asked_without(secure_kafka: KafkaCluster, side: Side) -> None:
    brokers = secure_kafka.secure()["bootstrap.servers"]

    error = await refused(side, options_of(secure_kafka, "plain", brokers=brokers, reach_s=1))

    assert "Kafka cannot be reached" in error.message


async def test_the_right_password_and_tls(secure_kafka: KafkaCluster, side: Side) -> None:
    config = secure_kafka.secure()
    brokers = config.pop("bootstrap.servers")
    options = options_of(secure_kafka, "right", brokers=brokers, security=config)

    async with opened(side.as_driver(), options) as driver:
        first, producer = await ready(driver), Producer(driver)
        await producer.dispatch()
        await Crew().run_all(driver, [first, *producer.acknowledged])


async def test_a_prefix_that_another_installation_uses(kafka_broker: KafkaCluster, kafka_prefix: str, side: Side) -> None:
    options, stranger = options_of(kafka_broker, kafka_prefix), Side()
    await stranger.prepare()
    async with opened(side.as_driver(), options):
        pass

    error = await refused(stranger, options)

    assert isinstance(error, ForeignTopics)
    assert "belong to another side store" in error.message


async def test_a_side_store_of_another_prefix(kafka_broker: KafkaCluster, kafka_prefix: str, side: Side) -> None:
    async with opened(side.as_driver(), options_of(kafka_broker, f"{kafka_prefix}a")):
        pass

    error = await refused(side, options_of(kafka_broker, f"{kafka_prefix}b"))

    assert isinstance(error, ForeignTopics)


async def test_a_side_store_of_another_cluster(
    kafka_broker: KafkaCluster, secure_kafka: KafkaCluster, kafka_prefix: str, side: Side
) -> None:
    async with opened(side.as_driver(), options_of(kafka_broker, kafka_prefix)):
        pass

    error = await refused(side, options_of(secure_kafka, kafka_prefix))

    assert isinstance(error, ForeignTopics)
    assert "another Kafka cluster" in error.message


async def test_who_asks_for_it_takes_over_the_topics_of_another_and_what_lies_in_them(
    kafka_broker: KafkaCluster, kafka_prefix: str, side: Side
) -> None:
    options, heir = options_of(kafka_broker, kafka_prefix), Side()
    await heir.prepare()
    async with opened(side.as_driver(), options) as driver:
        producer, first = Producer(driver), await ready(driver)
        await Crew().run_all(driver, [first])
        side.is_down = True
        await producer.dispatch()

    async with opened(heir.as_driver(), options, adopt=True) as driver:
        await Crew().run_all(driver, producer.acknowledged)
    side.is_down = False
    error = await refused(side, options)

    assert isinstance(error, ForeignTopics)
    async with opened(heir.as_driver(), options):
        pass

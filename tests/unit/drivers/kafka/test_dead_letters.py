"""Dead letters: one that is too large for a record keeps no other back."""

from collections.abc import Mapping, Sequence
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from protojobs_service.drivers.kafka.dead_letters import DeadLetterTopic, Letter, Parking
from protojobs_service.drivers.kafka.errors import translate
from protojobs_service.drivers.kafka.intake import Unusable
from protojobs_service.drivers.kafka.options import MAX_RECORD_BYTES, Options
from protojobs_service.drivers.kafka.producer import Appender, Outgoing
from protojobs_service.drivers.kafka.topics import Place, Topics

from tests.unit.drivers.kafka.kit import place, record

pytestmark = pytest.mark.asyncio

SMALL: Letter = (b"small", [("protojobs-id", b"small")])


class OneTopic(Topics):
    """Topics that are made without a broker."""

    def __init__(self, options: Options) -> None:
        super().__init__(options, cast("AdminClient", None))

    async def make(self, topic: str, *, partitions: int | None = None, config: Mapping[str, str] | None = None) -> None:
        """Make nothing."""


class Broker(Appender):
    """Takes records of at most so many bytes; of those of a call, up to the first that is larger."""

    def __init__(self, options: Options, most: int) -> None:
        super().__init__(options)
        self._most = most
        self.records: list[Outgoing] = []

    async def append(self, records: Sequence[Outgoing]) -> dict[Place, int]:
        for each in records:
            if len(each.value) + sum(len(name) + len(value) for name, value in each.headers) > self._most:
                error = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
                raise translate(error) from KafkaException(error)
            self.records.append(each)
        return {}


def bench(most: int = MAX_RECORD_BYTES) -> tuple[DeadLetterTopic, Broker]:
    """Return the topic of a broker that takes no larger records."""
    options = Options(brokers="nobody")
    broker = Broker(options, most)
    return DeadLetterTopic(options, OneTopic(options), broker), broker


@pytest.mark.parametrize("most", [MAX_RECORD_BYTES, 1024 * 1024])
async def test_letter_that_is_too_large_for_a_record_comes_without_its_value(most: int) -> None:
    topic, broker = bench(most)

    await topic.append([(bytes(5 * 1024 * 1024), [("protojobs-id", b"large")]), SMALL])

    assert [(each.value, list(each.headers)) for each in broker.records] == [
        (b"", [("protojobs-id", b"large"), ("protojobs-left-out", b"size")]),
        SMALL,
    ]


async def test_letter_that_a_broker_finds_too_large_keeps_none_back_of_those_around_it() -> None:
    topic, broker = bench(1024 * 1024)

    await topic.append([SMALL, (bytes(2 * 1024 * 1024), []), SMALL])

    # Those before it may come twice.
    assert [each.value for each in broker.records[-3:]] == [b"small", b"", b"small"]
    assert len(broker.records) <= 4


async def test_headers_count_in_the_size_of_a_letter() -> None:
    topic, broker = bench()

    await topic.append([(bytes(MAX_RECORD_BYTES - 2048), [("protojobs-error-message", bytes(4096))])])

    assert [len(each.value) for each in broker.records] == [0]


async def test_record_that_nothing_can_be_made_of_is_parked_whatever_its_size() -> None:
    topic, broker = bench()

    await Parking(topic).park(Unusable(place(), record(3, value=bytes(MAX_RECORD_BYTES)), "not a record of jobs"))

    [parked] = broker.records
    assert dict(parked.headers)["protojobs-left-out"] == b"size"
    assert dict(parked.headers)["protojobs-offset"] == b"3"

"""What the reader asks of its client, by a client that only notes it."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from protojobs_service.drivers.kafka import consumer
from protojobs_service.drivers.kafka.consumer import Reader, Seat, Sink
from protojobs_service.drivers.kafka.errors import TIMED_OUT
from protojobs_service.drivers.kafka.options import Options


class NotingConsumer:
    """A client to which no broker answers."""

    def __init__(self) -> None:
        self.subscribed: list[list[str]] = []
        self.assign: Callable[[Any, Sequence[TopicPartition]], None] | None = None

    def subscribe(self, topics: list[str], *, on_assign: Callable[[Any, Sequence[TopicPartition]], None], **_: Any) -> None:
        self.subscribed.append(topics)
        self.assign = on_assign

    def unsubscribe(self) -> None:
        self.subscribed.append([])

    def committed(self, *_: Any, **__: Any) -> None:
        raise KafkaException(KafkaError(TIMED_OUT))

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Have them."""

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Read nothing of them."""


class NoSink:
    """Is asked in vain."""

    def assigned(self, seats: Sequence[Seat]) -> None:
        raise AssertionError(seats)


def test_group_is_joined_again_with_the_topics_that_are_wanted_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "_ANEW_S", 0.0)
    client = NotingConsumer()
    reader = Reader(Options(brokers="nobody"), cast("Sink", NoSink()))
    reader.follow(["a"])
    reader._obey(cast("Consumer", client))
    assert client.assign is not None

    reader.follow(["a", "b"])  # a queue more, while partitions are taken over
    client.assign(client, [TopicPartition("a", 0)])
    reader._obey(cast("Consumer", client))

    assert client.subscribed[-1] == ["a", "b"]

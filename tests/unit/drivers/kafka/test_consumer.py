"""What the reader asks of its client, by a client that only notes it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from protojobs_service.domain.errors import JobsError, Overloaded, StoreUnavailable
from protojobs_service.drivers.kafka import consumer
from protojobs_service.drivers.kafka.consumer import Reader, Seat, Sink
from protojobs_service.drivers.kafka.errors import TIMED_OUT
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.topics import Place


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

    def committed(self, partitions: Sequence[TopicPartition], **_: Any) -> list[TopicPartition]:
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


class CutConsumer(NotingConsumer):
    """A client of a partition whose end lies before what was committed of it."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[tuple[int, int]] = []

    def committed(self, partitions: Sequence[TopicPartition], **_: Any) -> list[TopicPartition]:
        """Return 50 for partition 0, and nothing for others."""
        return [TopicPartition("a", each.partition, -1001 if each.partition else 50) for each in partitions]

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return 10, 40

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Read on."""

    def commit(self, *, offsets: Sequence[TopicPartition], **_: Any) -> None:
        self.commits += [(each.partition, each.offset) for each in offsets]


class FromTheStart:
    """Begins at the first record there is."""

    async def assigned(self, seats: Sequence[Seat]) -> dict[Place, int]:
        return {seat.place: seat.low for seat in seats}


@pytest.mark.asyncio
async def test_what_was_committed_of_a_partition_that_was_cut_is_taken_back() -> None:
    client = CutConsumer()
    reader = Reader(Options(brokers="nobody"), cast("Sink", FromTheStart()))
    reader._loop = asyncio.get_running_loop()

    await asyncio.to_thread(reader._assigned, cast("Consumer", client), [TopicPartition("a", n) for n in range(2)])
    reader._commit(cast("Consumer", client), asynchronous=True)

    assert client.commits == [(0, 10)]


class AsksTooMuch:
    """Stands on a side store that refuses whatever it is asked."""

    def __init__(self, refusal: JobsError) -> None:
        self.refusal = refusal

    async def assigned(self, seats: Sequence[Seat]) -> dict[Place, int]:
        raise self.refusal


@pytest.mark.parametrize("refusal", [StoreUnavailable("gone"), Overloaded("busy")], ids=lambda each: each.reason)
@pytest.mark.asyncio
async def test_partitions_are_asked_for_again_where_the_side_store_refuses(refusal: JobsError) -> None:
    reader = Reader(Options(brokers="nobody"), cast("Sink", AsksTooMuch(refusal)))
    reader._loop = asyncio.get_running_loop()

    with pytest.raises(KafkaException):
        await asyncio.to_thread(reader._assigned, cast("Consumer", CutConsumer()), [TopicPartition("a", 0)])

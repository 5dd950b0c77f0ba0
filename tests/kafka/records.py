"""Records there and back, with clients as plain as they come."""

from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

_SECONDS: Final = 30.0


def produce(config: Mapping[str, Any], topic: str, value: bytes) -> int:
    """Store a record on partition 0 and return its offset, once all copies that must have it do. Raises AssertionError."""
    reports: list[tuple[KafkaError | None, int | None]] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        reports.append((error, message.offset()))

    # One second behind the wait: at its end there is a report, whatever became of the record.
    safe = {"acks": "all", "enable.idempotence": True, "delivery.timeout.ms": int(_SECONDS * 1000) - 1000, "log_level": 0}
    producer = Producer({**config, **safe})
    producer.produce(topic, value, partition=0, on_delivery=delivered)
    producer.flush(_SECONDS)

    [(error, offset)] = reports
    assert error is None, f"not delivered: {error}"
    assert offset is not None
    return offset


def read(config: Mapping[str, Any], topic: str, offset: int) -> bytes | None:
    """Return the record at an offset of partition 0. Raises AssertionError where it does not come."""
    consumer = Consumer({**config, "group.id": "reader", "enable.auto.commit": False, "log_level": 0})
    try:
        consumer.assign([TopicPartition(topic, 0, offset)])
        [message] = consumer.consume(1, _SECONDS)
        assert message.error() is None, message.error()
        assert message.offset() == offset
        return message.value()
    finally:
        consumer.close()

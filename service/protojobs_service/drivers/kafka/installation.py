"""Whose topics these are: a side store and a prefix of a cluster belong together, and to nobody else."""

import asyncio
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.kafka.client_log import client_log
from protojobs_service.drivers.kafka.errors import END_OF_PLACE, translated
from protojobs_service.drivers.kafka.ledger import Ledger
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.producer import Appender, Outgoing
from protojobs_service.drivers.kafka.topics import Place, Topics

_READ_S = 10.0


class ForeignTopics(StoreUnavailable):
    """The topics belong to another side store, or this side store to other topics."""


async def check_owner(options: Options, topics: Topics, appender: Appender, ledger: Ledger, cluster: str, *, adopt: bool) -> None:
    """Make sure that topics and side store belong together; the first to come takes possession of both.

    adopt: take the topics over whoever they belonged to. Raises ForeignTopics and StoreUnavailable.
    """
    topic = f"{options.prefix}.installation"
    await topics.make(topic, partitions=1, config={"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"})
    with translated():
        marked = await asyncio.to_thread(_read_last, options, topic)
    owner = await ledger.owner()
    if adopt and marked is not None and marked != owner:
        await ledger.disown()
        owner = None
    if owner is not None and owner.split()[1:] != [cluster, options.prefix]:
        if not adopt:
            raise ForeignTopics("the side store belongs to another Kafka cluster or prefix; see kafka.adopt")
        await ledger.disown()
        owner = None
    if owner is None and marked is not None and not adopt:
        raise ForeignTopics("the topics of this prefix belong to another side store; see kafka.adopt")
    owner = owner or await ledger.own(cluster, options.prefix)
    if marked is not None and marked != owner and not adopt:
        raise ForeignTopics("the topics of this prefix belong to another side store; see kafka.adopt")
    if marked != owner:
        await appender.append([Outgoing(Place(topic, 0), owner.encode(), 0)])


def _read_last(options: Options, topic: str) -> str | None:
    """Return the last of the few records there are. Leaders of a topic that was just made are waited for: the client does that."""
    consumer = Consumer(
        {**options.consumer(), "group.id": f"{options.group_id}.installation", "enable.partition.eof": True}, logger=client_log
    )
    try:
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        found, end = None, time.monotonic() + _READ_S
        while time.monotonic() < end:
            message = consumer.poll(0.1)
            if message is None:
                continue
            if (error := message.error()) is None:
                found = (message.value() or b"").decode(errors="replace")
            elif error.code() == END_OF_PLACE:
                return found
        raise StoreUnavailable("Kafka does not answer")
    finally:
        consumer.close()

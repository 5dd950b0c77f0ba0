"""The topics of an installation: their names, which there are, and making those of a new queue."""

import asyncio
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, TopicMetadata

from protojobs_service.domain.bounds import MAX_PRIORITY
from protojobs_service.domain.errors import JobsError
from protojobs_service.domain.job import JobId
from protojobs_service.drivers.kafka.errors import translate, translated
from protojobs_service.drivers.kafka.options import MAX_RECORD_BYTES, Options

_log = logging.getLogger(__name__)
_METADATA_S = 5.0
_BANDS = tuple(f".{band}" for band in range(1, MAX_PRIORITY + 1))
_NAMES = 4096
"""Queues and topics of which is remembered what follows from their names: every call asks."""
_DIGEST = re.compile(r"\.[0-9a-f]{16}\Z")


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int

    @property
    def stem(self) -> str:
        """Return what the topics of its queue have in common."""
        return self.topic.rpartition(".")[0]


@lru_cache(_NAMES)
def stem_of(prefix: str, queue: str) -> str:
    """Return what the topics of a queue have in common; the band follows.

    Kafka refuses two topics that differ in `.` and `_` only, so names with `_` are rewritten and told apart by a digest; so are
    names that look as if they were.
    """
    if "_" in queue or _DIGEST.search(queue):
        queue = f"{queue.replace('_', '-')}.{blake2b(queue.encode(), digest_size=8).hexdigest()}"
    return f"{prefix}.{queue}"


@lru_cache(_NAMES)
def places_of(topic: str, partitions: int) -> Sequence[Place]:
    """Return the partitions of a topic, by number."""
    return [Place(topic, partition) for partition in range(partitions)]


def topic_of(prefix: str, queue: str, band: int) -> str:
    """Return the topic of a band of a queue."""
    return f"{stem_of(prefix, queue)}.{band}"


def partition_of(job_id: JobId, partitions: int) -> int:
    """Return the partition of a job: the same at every dispatch of its id."""
    return int.from_bytes(job_id[-4:]) % partitions


def config_of(options: Options) -> dict[str, str]:
    """Return the settings of a topic of jobs. Nothing ends by age: what has been moved is deleted by the service."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "message.timestamp.type": "CreateTime",
        "max.message.bytes": str(MAX_RECORD_BYTES),
        "min.insync.replicas": str(options.min_insync),
        "unclean.leader.election.enable": "false",
        "compression.type": "producer",
    }


def is_of_jobs(prefix: str, topic: TopicMetadata) -> bool:
    """Tell whether a topic is one of jobs of the installation with this prefix, and there."""
    name = topic.topic or ""
    return name.startswith(f"{prefix}.") and name.endswith(_BANDS) and topic.error is None and bool(topic.partitions)


class Topics:
    """What this replica knows of the topics. Belongs to the event loop; the admin client works on threads of its own."""

    def __init__(self, options: Options, admin: AdminClient) -> None:
        """Start knowing nothing: `refresh` first."""
        self._options, self._admin = options, admin
        self.partitions: Mapping[str, int] = {}
        """By topic of jobs, how many partitions it has."""
        self._making: dict[str, asyncio.Task[None]] = {}

    def name(self, queue: str, priority: int) -> str:
        """Return the topic of jobs of a queue with this priority."""
        return topic_of(self._options.prefix, queue, self._options.band_of(priority))

    def stem(self, queue: str) -> str:
        """Return what the topics of a queue have in common."""
        return stem_of(self._options.prefix, queue)

    def rank(self, topic: str) -> int:
        """Return 1 for a topic of the lowest band, more for higher ones."""
        return self._options.rank_of(int(topic.rpartition(".")[2]))

    async def refresh(self) -> None:
        """Read which topics there are. Raises StoreUnavailable."""
        with translated():
            found = await asyncio.to_thread(self._admin.list_topics, timeout=_METADATA_S)
        prefix = self._options.prefix
        self.partitions = {name: len(topic.partitions) for name, topic in found.topics.items() if is_of_jobs(prefix, topic)}

    async def ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return the id of each topic; one that is made again under the same name has another. Raises StoreUnavailable."""
        with translated():
            asked = self._admin.describe_topics(TopicCollection(sorted(topics)), request_timeout=_METADATA_S) if topics else {}
            found = await asyncio.gather(*(asyncio.wrap_future(future) for future in asked.values()))
        return {each.name: str(each.topic_id) for each in found}

    def want(self, topic: str) -> "asyncio.Task[None]":
        """Make a topic in the background, once at a time; the task never fails."""
        task = self._making.get(topic)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._make(topic), name=f"kafka-topic-{topic}")
            self._making[topic] = task  # owned: `close` cancels and awaits it
            task.add_done_callback(lambda _: self._making.pop(topic, None))
        return task

    async def make(self, topic: str, *, partitions: int | None = None, config: Mapping[str, str] | None = None) -> None:
        """Make a topic; it may exist already. Raises StoreUnavailable."""
        new = NewTopic(
            topic,
            num_partitions=partitions or self._options.partitions,
            replication_factor=self._options.replication,
            config=dict(config_of(self._options) if config is None else config),
        )
        with translated():
            try:
                await _result(self._admin.create_topics([new], operation_timeout=_METADATA_S)[topic])
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

    async def delete(self, topics: Collection[str]) -> None:
        """Delete topics; they may be gone already. Raises StoreUnavailable."""
        for topic, future in self._admin.delete_topics(list(topics), operation_timeout=_METADATA_S).items() if topics else ():
            try:
                await _result(future)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise translate(error) from error
            _log.info("topic deleted", extra={"topic": topic})

    async def trim(self, ends: Mapping[Place, int]) -> None:
        """Delete records before these offsets, which must be moved. Raises StoreUnavailable."""
        if not ends:
            return
        asked = [TopicPartition(place.topic, place.partition, end) for place, end in ends.items()]
        with translated():
            for future in self._admin.delete_records(asked, operation_timeout=_METADATA_S).values():
                await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Leave what is being made to the next one who wants it."""
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, topic: str) -> None:
        try:
            await self.make(topic)
            await self.refresh()
        except JobsError as error:
            _log.warning("topic not made; its jobs go to the side store", extra={"topic": topic, "reason": error.message})


async def _result(future: "Future[None]") -> None:
    await asyncio.wrap_future(future)

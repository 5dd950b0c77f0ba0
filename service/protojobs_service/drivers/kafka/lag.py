"""How much lies in the topics that is not moved yet."""

import asyncio
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from protojobs_service.drivers.kafka.backlog import Backlog
from protojobs_service.drivers.kafka.errors import translated
from protojobs_service.drivers.kafka.ledger import Ledger
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.topics import Place, Topics

_ASK_S = 5.0


class Span(NamedTuple):
    """Records of a partition from `done` to before `end` are not moved. jobs: how many there are in them; exact or an estimate."""

    done: int
    end: int
    jobs: int
    is_exact: bool


class Lag:
    """Asks Kafka where the partitions end, and the group how far it is where another replica owns them."""

    def __init__(self, options: Options, topics: Topics, backlog: Backlog, ledger: Ledger, admin: AdminClient) -> None:
        """Use what this replica knows of its own partitions."""
        self._options, self._topics, self._backlog, self._ledger, self._admin = options, topics, backlog, ledger, admin
        self.jobs = 0
        """Of all partitions, when `spans` was asked last."""

    async def spans(self) -> dict[Place, Span]:
        """Return every partition that has records which are not moved. Raises StoreUnavailable."""
        places = [Place(topic, number) for topic, count in self._topics.partitions.items() for number in range(count)]
        ends = await self.ends(places)
        foreign = [place for place in places if place not in self._backlog.partitions and ends[place] > 0]
        done = await self.done(foreign) if foreign else {}
        spans: dict[Place, Span] = {}
        for place, end in ends.items():
            own = self._backlog.partitions.get(place)
            first = own.done if own is not None else done.get(place, 0)
            if first < end:
                spans[place] = self._span(place, first, end)
        self.jobs = sum(span.jobs for span in spans.values())
        return spans

    async def ends(self, places: list[Place]) -> dict[Place, int]:
        """Return the offset behind the last record of each partition. Raises StoreUnavailable."""
        if not places:
            return {}
        return await self._offsets(places, OffsetSpec.latest())

    async def offsets_at(self, at: datetime, places: list[Place]) -> dict[Place, int]:
        """Return the offset of the first record of each partition that is not older than `at`. Raises StoreUnavailable."""
        found = await self._offsets(places, OffsetSpec.for_timestamp(round(at.timestamp() * 1000)))
        return {place: offset if offset >= 0 else sys.maxsize for place, offset in found.items()}

    async def _offsets(self, places: list[Place], spec: OffsetSpec) -> dict[Place, int]:
        asked = {TopicPartition(place.topic, place.partition): spec for place in places}
        with translated():
            futures = self._admin.list_offsets(asked, request_timeout=_ASK_S)
            answers = await asyncio.gather(*(asyncio.wrap_future(future) for future in futures.values()))
        return {Place(each.topic, each.partition): answer.offset for each, answer in zip(futures, answers, strict=True)}

    async def done(self, places: list[Place]) -> dict[Place, int]:
        """Return how far the group, or the ledger, says that each partition is moved. Raises StoreUnavailable."""
        asked = ConsumerGroupTopicPartitions(
            self._options.group_id, [TopicPartition(each.topic, each.partition) for each in places]
        )
        with translated():
            [future] = self._admin.list_consumer_group_offsets([asked], request_timeout=_ASK_S).values()
            answer = await asyncio.wrap_future(future)
        committed = {Place(each.topic, each.partition): each.offset for each in answer.topic_partitions or ()}
        moved: Mapping[Place, int] = await self._ledger.read("moved", places)
        return {place: max(0, committed.get(place, 0), moved[place]) for place in places}

    def _span(self, place: Place, first: int, end: int) -> Span:
        own = self._backlog.partitions.get(place)
        if own is None:
            return Span(first, end, round((end - first) * self._backlog.mean_jobs), is_exact=False)
        unread = max(0, end - own.read)
        return Span(first, end, own.jobs + round(unread * self._backlog.mean_jobs), is_exact=unread == 0)

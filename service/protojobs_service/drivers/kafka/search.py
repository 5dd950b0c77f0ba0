"""Finding jobs that still lie in a topic, by id: the partition follows from the id, the place in it from the time in the id."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from confluent_kafka import Consumer, TopicPartition

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.drivers.kafka.backlog import Backlog
from protojobs_service.drivers.kafka.errors import translated
from protojobs_service.drivers.kafka.lag import Lag
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.records import InvalidRecord, unpack
from protojobs_service.drivers.kafka.topics import Place, Topics, partition_of

_log = logging.getLogger(__name__)

_EARLIER_MS = 2000
"""A record has the latest time of its ids, but no later one than the server's clock showed, which may differ between servers."""
_LONGEST_S = 5.0
_ASK_S = 5.0
_MOST = 500


class Search:
    """Reads topics apart from the group."""

    def __init__(self, options: Options, topics: Topics, backlog: Backlog, lag: Lag) -> None:
        """Connect for each search: they are rare."""
        self._options, self._topics, self._backlog, self._lag = options, topics, backlog, lag

    async def find(self, ids: Sequence[JobId]) -> dict[JobId, NewJob]:
        """Return the jobs of these ids that lie in topics and are not moved, as far as the offsets say.

        Raises StoreUnavailable, also where more lies there than can be looked through in 5 s.
        """
        wanted = self._wanted(ids)
        if not wanted:
            return {}
        spans = {place: span for place, span in (await self._lag.spans()).items() if place in wanted and span.done < span.end}
        if not spans:
            return {}
        found: dict[JobId, NewJob] = {}
        with translated():
            await asyncio.to_thread(self._read, {place: (span.done, span.end) for place, span in spans.items()}, wanted, found)
        return found

    def _wanted(self, ids: Sequence[JobId]) -> dict[Place, set[JobId]]:
        wanted: dict[Place, set[JobId]] = defaultdict(set)
        for topic, partitions in self._topics.partitions.items():
            for job_id in ids:
                wanted[Place(topic, partition_of(job_id, partitions))].add(job_id)
        return wanted

    def _read(
        self, spans: Mapping[Place, tuple[int, int]], wanted: Mapping[Place, Collection[JobId]], found: dict[JobId, NewJob]
    ) -> None:
        consumer = Consumer({**self._options.consumer(), "group.id": f"{self._options.group_id}.search"}, logger=_log)
        try:
            starts = self._starts(consumer, spans, wanted)
            left = {place: spans[place][1] for place, start in starts.items() if start < spans[place][1]}
            consumer.assign([TopicPartition(place.topic, place.partition, starts[place]) for place in left])
            end = time.monotonic() + _LONGEST_S
            while left and any(wanted[place] - found.keys() for place in left):
                if time.monotonic() > end:
                    raise StoreUnavailable("too much lies in the topics to find the job in time")
                self._take(consumer, left, wanted, found)
        finally:
            consumer.close()

    def _take(
        self, consumer: Consumer, left: dict[Place, int], wanted: Mapping[Place, Collection[JobId]], found: dict[JobId, NewJob]
    ) -> None:
        first = consumer.poll(0.1)
        for message in [first, *consumer.consume(_MOST, 0)] if first is not None else []:
            place = Place(message.topic() or "", message.partition() or 0)
            if message.error() is not None or place not in left:
                continue
            try:
                jobs = unpack(message.value() or b"")
            except InvalidRecord:
                jobs = []
            found.update((job.id, job) for job in jobs if job.id in wanted[place])
            if (message.offset() or 0) + 1 >= left[place]:
                del left[place]

    def _starts(
        self, consumer: Consumer, spans: Mapping[Place, tuple[int, int]], wanted: Mapping[Place, Collection[JobId]]
    ) -> dict[Place, int]:
        asked = [
            TopicPartition(
                place.topic, place.partition, max(0, min(int.from_bytes(each[:6]) for each in wanted[place]) - _EARLIER_MS)
            )
            for place in spans
        ]
        starts: dict[Place, int] = {}
        for answer in consumer.offsets_for_times(asked, timeout=_ASK_S):
            place = Place(answer.topic, answer.partition)
            done, end = spans[place]
            # A negative offset: every record is older.
            starts[place] = max(done, answer.offset) if answer.offset >= 0 else end
        return starts

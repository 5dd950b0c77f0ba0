"""Finding jobs that still lie in a topic, by id: the partition follows from the id, the place in it from the time in the id."""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import Consumer, TopicPartition

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.domain.recent import Recent
from protojobs_service.drivers.kafka.backlog import Backlog
from protojobs_service.drivers.kafka.client_log import client_log
from protojobs_service.drivers.kafka.errors import translated
from protojobs_service.drivers.kafka.lag import Lag, Span
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.records import InvalidRecord, unpack
from protojobs_service.drivers.kafka.topics import Place, Topics, partition_of

_EARLIER_MS = 2000
"""A record has the latest time of its ids, but no later one than the server's clock showed, which may differ between servers."""
_LONGEST_S = 5.0
_ASK_S = 5.0
_MOST = 500
_AT_ONCE = 2
"""Searches; the others wait, no longer than one may take."""
_RECENT = 10_000
_REMEMBERED_S = 60.0
_NOT = (0, 0.0)


class Search:
    """Reads topics apart from the group."""

    def __init__(self, options: Options, topics: Topics, backlog: Backlog, lag: Lag) -> None:
        """Connect for each search: they are rare."""
        self._options, self._topics, self._backlog, self._lag = options, topics, backlog, lag
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._executor: ThreadPoolExecutor | None = None
        self._passed: Recent[tuple[JobId, Place], tuple[int, float]] = Recent(_RECENT)
        """Before which offset a job does not lie, and when that was seen: most calls look for a job more than once."""

    def close(self) -> None:
        """Leave the threads, which end with what they read now."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)

    async def find(self, ids: Sequence[JobId]) -> dict[JobId, NewJob]:
        """Return the jobs of these ids that lie in topics and are not moved, as far as the offsets say.

        Raises StoreUnavailable, also where more lies there than can be looked through in 5 s, or too many look.
        """
        wanted = self._wanted(ids)
        if not wanted:
            return {}
        lag = await self._lag.spans()
        unread = {place: self._unread(place, lag[place], wanted[place]) for place in lag.keys() & wanted.keys()}
        spans = {place: (start, end) for place, (start, end) in unread.items() if start < end}
        if not spans:
            return {}
        try:
            async with asyncio.timeout(_LONGEST_S):
                await self._turns.acquire()
        except TimeoutError:
            raise StoreUnavailable("too many look for jobs in the topics; ask again") from None
        try:
            return await self._read_apart(spans, wanted)
        finally:
            self._turns.release()

    async def _read_apart(self, spans: Mapping[Place, tuple[int, int]], wanted: Mapping[Place, set[JobId]]) -> dict[JobId, NewJob]:
        found, look = dict[JobId, NewJob](), _Look()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="kafka-search")
        try:
            with translated():
                await asyncio.get_running_loop().run_in_executor(self._executor, self._read, spans, wanted, found, look)
        finally:
            look.given_up.set()  # where the caller has gone
        now = time.monotonic()
        for (job_id, place), offset in look.passed.items():
            self._passed[job_id, place] = (offset, now)
        return found

    def _unread(self, place: Place, span: Span, ids: Collection[JobId]) -> tuple[int, int]:
        """Return what of a span is to be read for these ids."""
        since = time.monotonic() - _REMEMBERED_S
        known = [self._passed.get((each, place), _NOT) for each in ids]
        passed = min(offset if at > since and offset <= span.end else 0 for offset, at in known)
        return max(span.done, passed), span.end

    def _wanted(self, ids: Sequence[JobId]) -> dict[Place, set[JobId]]:
        wanted: dict[Place, set[JobId]] = defaultdict(set)
        for topic, partitions in self._topics.partitions.items():
            for job_id in ids:
                wanted[Place(topic, partition_of(job_id, partitions))].add(job_id)
        return wanted

    def _read(
        self,
        spans: Mapping[Place, tuple[int, int]],
        wanted: Mapping[Place, Collection[JobId]],
        found: dict[JobId, NewJob],
        look: "_Look",
    ) -> None:
        if look.given_up.is_set():
            return
        consumer = Consumer({**self._options.consumer(), "group.id": f"{self._options.group_id}.search"}, logger=client_log)
        try:
            starts = self._starts(consumer, spans, wanted)
            left = {place: spans[place][1] for place, start in starts.items() if start < spans[place][1]}
            consumer.assign([TopicPartition(place.topic, place.partition, starts[place]) for place in left])
            end = time.monotonic() + _LONGEST_S
            while left and any(wanted[place] - found.keys() for place in left) and not look.given_up.is_set():
                if time.monotonic() > end:
                    raise StoreUnavailable("too much lies in the topics to find the job in time")
                self._take(consumer, left, wanted, found, look)
        finally:
            consumer.close()
        ends = [(place, spans[place][1]) for place in starts if place not in left]
        look.passed |= {(each, place): end for place, end in ends for each in wanted[place] - found.keys()}

    def _take(
        self,
        consumer: Consumer,
        left: dict[Place, int],
        wanted: Mapping[Place, Collection[JobId]],
        found: dict[JobId, NewJob],
        look: "_Look",
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
            ours = {job.id: job for job in jobs if job.id in wanted[place]}
            found |= ours
            look.passed |= {(job_id, place): message.offset() or 0 for job_id in ours}
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


class _Look:
    """What a search and its caller tell each other. passed: before which offsets of places jobs do not lie."""

    def __init__(self) -> None:
        self.given_up = threading.Event()
        self.passed: dict[tuple[JobId, Place], int] = {}

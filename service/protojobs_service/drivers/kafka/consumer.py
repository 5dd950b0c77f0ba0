"""Reading the topics: one thread owns the Consumer, everything that others want of it is handed over and done between polls.

A call from another thread waits for `poll` to end and may starve (confluent-kafka 2.16: 0 of 40 commits in 6 s).
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as WaitedTooLong
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from protojobs_service.domain.errors import NOT_NOW
from protojobs_service.drivers.kafka.client_log import client_log
from protojobs_service.drivers.kafka.errors import NO_PLACE, NO_TOPIC, TIMED_OUT, translate
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.topics import Place

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_POLL_S = 0.02
_MOST = 500
_ASK_S = 10.0
_RELEASE_S = 3.0
"""How long a partition that is being revoked may wait for what is under way."""
_COMMIT_S = 0.2
_ANEW_S = 1.0
"""How long after a failure the group is joined anew."""
_LEAVE_S = 10.0


class Incoming(NamedTuple):
    """A record that was read."""

    offset: int
    value: bytes
    time_ms: int


class Seat(NamedTuple):
    """Where reading a partition begins. low, high: what there is. committed: None where nothing was committed."""

    place: Place
    committed: int | None
    low: int
    high: int


class Sink(Protocol):
    """Takes what is read; every method runs on the event loop."""

    async def assigned(self, seats: Sequence[Seat]) -> Mapping[Place, int]:
        """Take over partitions; return at which offset to begin each."""
        ...

    async def release(self, places: Collection[Place]) -> Mapping[Place, int]:
        """Take no more of these; wait for what is under way; return what to commit."""
        ...

    def lost(self, places: Collection[Place]) -> None:
        """Drop these: another replica may have them already, nothing of them is committed any more."""
        ...

    def read(self, records: Sequence[tuple[Place, Incoming]]) -> None:
        """Take records of partitions that were assigned."""
        ...

    def gone(self, topics: Collection[str]) -> None:
        """Hear of topics that are not there any more."""
        ...


class Reader:
    """The consumer of this replica and its thread."""

    def __init__(self, options: Options, sink: Sink) -> None:
        """Join the group with the first `follow`."""
        self._options, self._sink = options, sink
        self._orders: SimpleQueue[Callable[[Consumer], None]] = SimpleQueue()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._owned: dict[Place, int] = {}
        """Partitions that are assigned, and the offset that was committed last. Of the thread alone, as the next two."""
        self._to_commit: dict[Place, int] = {}
        self._wanted: list[str] = []
        self.following: frozenset[str] = frozenset()
        """Topics that an assignment of this replica has been made with."""

    def open(self) -> None:
        """Start the thread. On the event loop."""
        self._loop = asyncio.get_running_loop()
        self._ending.clear()
        self._thread = threading.Thread(target=self._run, name="kafka-consumer", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Leave the group: what is under way is waited for and committed, at most 10 s. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._ending.set()
            # Without a broker the client may wait for ever; the others of the group get the partitions by its session timeout.
            await asyncio.to_thread(thread.join, _LEAVE_S)
            if thread.is_alive():
                _log.warning("Kafka does not answer; the group is left without a word")

    def follow(self, topics: Collection[str]) -> None:
        """Read these topics, and no others, from now on."""
        wanted = sorted(topics)
        self._orders.put(lambda consumer: self._subscribe(consumer, wanted))

    def commit(self, ends: Mapping[Place, int]) -> None:
        """Commit soon that everything before these offsets is done. Dropped for partitions that have left meanwhile."""
        self._orders.put(lambda _: self._note(ends))

    def pause(self, places: Collection[Place]) -> None:
        """Read no more of these for now."""
        self._orders.put(lambda consumer: consumer.pause(self._still_owned(places)))

    def resume(self, places: Collection[Place]) -> None:
        """Read on."""
        self._orders.put(lambda consumer: consumer.resume(self._still_owned(places)))

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._live()
            except Exception as error:  # noqa: BLE001 - without it nothing of the topics would ever be read
                reason = translate(error).message if isinstance(error, KafkaException) else "unexpected"
                _log.error("the topics cannot be read; joining the group anew", extra={"reason": reason})
                self._ending.wait(_ANEW_S)

    def _live(self) -> None:
        """Be a member of the group until the end, or until that fails for good. Raises KafkaException."""
        consumer = Consumer(self._options.consumer(), logger=client_log)
        committed_at = 0.0
        try:
            self._subscribe(consumer, self._wanted)
            while not self._ending.is_set():
                self._obey(consumer)
                if self._to_commit and time.monotonic() - committed_at >= _COMMIT_S:
                    committed_at = time.monotonic()
                    self._commit(consumer, asynchronous=True)
                self._read(consumer)
        finally:
            consumer.close()  # revokes what is assigned, which commits it
            if self._owned:  # who was shut out of the group is told of nothing
                self._tell(self._sink.lost, list(self._owned))
                self._forget(list(self._owned))

    def _obey(self, consumer: Consumer) -> None:
        while True:
            try:
                order = self._orders.get_nowait()
            except Empty:
                return
            try:
                order(consumer)
            except KafkaException as error:
                _log.warning("Kafka refused an order", extra={"reason": translate(error).message})

    def _subscribe(self, consumer: Consumer, topics: list[str]) -> None:
        self._wanted = topics
        if not topics:
            consumer.unsubscribe()
            return

        def on_assign(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            try:
                self._assigned(consumer, partitions)
            except KafkaException as error:
                _log.warning("partitions not taken over; joining again", extra={"reason": translate(error).message})
                _take_unread(consumer, partitions)
                self._ending.wait(_ANEW_S)
                self._orders.put(lambda consumer: consumer.unsubscribe())
                # By then others may be wanted: `follow` says so once.
                self._orders.put(lambda consumer: self._subscribe(consumer, self._wanted))
            else:
                self.following = frozenset(topics)

        consumer.subscribe(topics, on_assign=on_assign, on_revoke=self._revoked, on_lost=self._lost)

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Take partitions over, each from the offset that the sink names."""
        seats = self._seats(consumer, partitions)
        starts = self._ask(self._sink.assigned(seats), _ASK_S)
        if starts is None:
            raise KafkaException(KafkaError(TIMED_OUT))
        committed = {seat.place: seat.committed or 0 for seat in seats}
        for place, start in starts.items():
            self._owned[place] = start
            if start < committed[place]:  # by the next assignment other records may have these offsets
                self._to_commit[place] = start
        begun = [TopicPartition(place.topic, place.partition, start) for place, start in starts.items()]
        consumer.incremental_assign(begun)
        consumer.resume(begun)  # one that was paused when it left would be so still

    def _seats(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> list[Seat]:
        seats: list[Seat] = []
        for found in consumer.committed(list(partitions), timeout=_ASK_S) if partitions else ():
            low, high = consumer.get_watermark_offsets(found, timeout=_ASK_S)
            seats.append(Seat(Place(found.topic, found.partition), found.offset if found.offset >= 0 else None, low, high))
        return seats

    def _revoked(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Give partitions back: what is under way ends, and is committed while they still are ours."""
        places = _places(partitions)
        ends = self._ask(self._sink.release(places), _RELEASE_S) or {}
        self._note(ends)
        self._commit(consumer, asynchronous=False)
        self._forget(places)
        consumer.incremental_unassign(list(partitions))

    def _lost(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Drop partitions that another member may have. A commit now could move its offsets back: the broker would allow it."""
        places = _places(partitions)
        self._forget(places)
        self._tell(self._sink.lost, places)
        consumer.incremental_unassign(list(partitions))

    def _forget(self, places: Collection[Place]) -> None:
        for place in places:
            self._owned.pop(place, None)
            self._to_commit.pop(place, None)

    def _note(self, ends: Mapping[Place, int]) -> None:
        for place, end in ends.items():
            if end > self._owned.get(place, end):  # never backward, and never what is not ours
                self._to_commit[place] = max(end, self._to_commit.get(place, 0))

    def _commit(self, consumer: Consumer, *, asynchronous: bool) -> None:
        ends, self._to_commit = self._to_commit, {}
        if not ends:
            return
        offsets = [TopicPartition(place.topic, place.partition, end) for place, end in ends.items()]
        try:
            if asynchronous:
                consumer.commit(offsets=offsets, asynchronous=True)
            else:
                consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            # Not tried again: the next assignment begins where the side store says, and what comes twice is known by its id.
            _log.warning("offsets not committed", extra={"reason": translate(error).message})
            return
        self._owned.update({place: end for place, end in ends.items() if place in self._owned})

    def _read(self, consumer: Consumer) -> None:
        first = consumer.poll(_POLL_S)
        if first is None:
            return
        # `consume` with a time waits for all of it.
        messages = [first, *consumer.consume(_MOST, 0)]
        records = [(_place(message), _incoming(message)) for message in messages if message.error() is None]
        if records:
            self._tell(self._sink.read, records)
        for message in messages:
            if (error := message.error()) is not None:
                self._failed(consumer, error, message)

    def _failed(self, consumer: Consumer, error: KafkaError, message: Message) -> None:
        place = _place(message)
        if error.fatal():
            raise KafkaException(error)
        if error.code() in NO_PLACE and place in self._owned:
            _log.error(
                "a partition has lost records that were not read", extra={"topic": place.topic, "partition": place.partition}
            )
            partition = TopicPartition(place.topic, place.partition)
            self._forget([place])
            consumer.incremental_unassign([partition])
            try:
                self._assigned(consumer, [partition])
            except KafkaException:
                _take_unread(consumer, [partition])
                raise
        elif error.code() in NO_TOPIC:
            self._tell(self._sink.gone, {place.topic})
        else:
            _log.warning("Kafka cannot be read", extra={"reason": translate(error).message})

    def _still_owned(self, places: Collection[Place]) -> list[TopicPartition]:
        return [TopicPartition(place.topic, place.partition) for place in places if place in self._owned]

    def _ask(self, question: Coroutine[Any, Any, _T], longest_s: float) -> _T | None:
        """Return what the loop answers; None where it takes too long, is going down, or the side store refuses."""
        assert self._loop is not None
        answer = asyncio.run_coroutine_threadsafe(question, self._loop)
        try:
            return answer.result(longest_s)
        except (WaitedTooLong, CancelledError, *NOT_NOW):
            answer.cancel()  # nobody waits for it any more
            return None

    def _tell(self, hear: Callable[[_T], None], what: _T) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(hear, what)


def _take_unread(consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
    """Have partitions without reading them: the group will ask for them back, and a client that has none cannot even close then."""
    consumer.incremental_assign(list(partitions))
    consumer.pause(list(partitions))


def _place(message: Message) -> Place:
    return Place(message.topic() or "", message.partition() or 0)


def _places(partitions: Sequence[TopicPartition]) -> list[Place]:
    return [Place(each.topic, each.partition) for each in partitions]


def _incoming(message: Message) -> Incoming:
    return Incoming(message.offset() or 0, message.value() or b"", message.timestamp()[1])

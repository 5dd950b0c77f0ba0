"""Appending records: one future for all records of a call, and one wake-up of the loop for each poll."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from protojobs_service.domain.errors import JobsError, Overloaded, StoreUnavailable
from protojobs_service.drivers.kafka.client_log import client_log
from protojobs_service.drivers.kafka.errors import translate, translated
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.topics import Place

_POLL_S = 0.1
_FLUSH_S = 5.0


class Outgoing(NamedTuple):
    """A record to append. time_ms: of its jobs, 0 for now."""

    place: Place
    value: bytes
    time_ms: int
    headers: Sequence[tuple[str, bytes]] = ()


class _Append:
    """The records of one call, until each has been reported."""

    __slots__ = ("ends", "error", "future", "left")

    def __init__(self, left: int, future: asyncio.Future[None]) -> None:
        self.left, self.future = left, future
        self.error: KafkaError | None = None
        self.ends: dict[Place, int] = {}

    def reported(self, error: KafkaError | None, message: Message) -> bool:
        """Note a delivery report; True with the last one. On the thread of the producer."""
        if error is None:
            place = Place(message.topic() or "", message.partition() or 0)
            self.ends[place] = max(self.ends.get(place, 0), (message.offset() or 0) + 1)
        else:
            self.error = error
        self.left -= 1
        return self.left == 0


class Appender:
    """The producer of this replica and the thread that hears its reports."""

    def __init__(self, options: Options, explain: Callable[[JobsError], JobsError] = lambda error: error) -> None:
        """Connect when the first record comes. explain: says more of an error, where more is known."""
        self._options, self._explain = options, explain
        self._producer: Producer | None = None
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._done: list[_Append] = []
        self.waiting = 0
        """Calls that wait for their reports."""

    def open(self) -> None:
        """Start the thread. On the event loop."""
        self._producer = Producer(self._options.producer(), logger=client_log)
        self._ending.clear()
        arguments = (self._producer, asyncio.get_running_loop())
        self._thread = threading.Thread(target=self._poll, args=arguments, name="kafka-producer", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Wait for what is under way, at most 5 s, then end the thread. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._ending.set()
            await asyncio.to_thread(thread.join)
        self._producer = None

    async def append(self, records: Sequence[Outgoing]) -> dict[Place, int]:
        """Return once every in-sync replica has all records: by partition, the offset behind the last of them.

        Raises Overloaded, and none is stored; StoreUnavailable, and some may be.
        """
        producer = self._producer
        if producer is None:
            raise StoreUnavailable
        call = _Append(len(records), asyncio.get_running_loop().create_future())
        self._send(producer, records, call)
        self.waiting += 1
        try:
            await call.future
        finally:
            self.waiting -= 1
        return call.ends

    def _send(self, producer: Producer, records: Sequence[Outgoing], call: _Append) -> None:
        def report(error: KafkaError | None, message: Message) -> None:
            if call.reported(error, message):
                self._done.append(call)

        sent = 0
        try:
            with translated():
                for place, value, time_ms, headers in records:
                    producer.produce(
                        place.topic,
                        value,
                        partition=place.partition,
                        on_delivery=report,
                        timestamp=time_ms,
                        headers=list(headers) if headers else None,
                    )
                    sent += 1
        except Overloaded as error:
            if sent:
                raise StoreUnavailable(error.message) from error
            raise

    def _poll(self, producer: Producer, loop: asyncio.AbstractEventLoop) -> None:
        while not self._ending.is_set():
            producer.poll(_POLL_S)
            self._answer(loop)
        producer.flush(_FLUSH_S)
        producer.purge()
        producer.poll(0)
        self._answer(loop)

    def _answer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._done:
            done, self._done = self._done, []
            loop.call_soon_threadsafe(self._resolve, done)

    def _resolve(self, done: Sequence[_Append]) -> None:
        for call in done:
            if call.future.done():  # its caller has gone
                continue
            if call.error is None:
                call.future.set_result(None)
            else:
                error = self._explain(translate(call.error))
                error.__cause__ = KafkaException(call.error)
                call.future.set_exception(error)

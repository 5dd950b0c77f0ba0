"""Finding jobs in topics: no more at once than may, and nothing is read twice or for nobody."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from protojobs_service.domain.job import NewJob
from protojobs_service.drivers.kafka import search
from protojobs_service.drivers.kafka.backlog import Backlog
from protojobs_service.drivers.kafka.lag import Lag, Span
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.search import Search
from protojobs_service.drivers.kafka.topics import Place, Topics

from tests.chaos.waiting import until
from tests.contract.acts import new_job
from tests.unit.drivers.kafka.kit import PREFIX, place, record

pytestmark = pytest.mark.asyncio

Q = place("q")


class Log:
    """A partition, and who reads it. While `gate` is closed nobody gets anything."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.readers: list[Reading] = []
        self.gate = threading.Event()
        self.gate.set()
        self.at_once = 0
        """How many were reading it, at most."""

    def put(self, *jobs: NewJob) -> None:
        self.values += [record(0, job).value for job in jobs]

    @property
    def read(self) -> list[int]:
        """Return the offsets that were read, by whomever."""
        return [offset for each in self.readers for offset in each.read]


class Reading:
    """A client that reads the log."""

    def __init__(self, log: Log) -> None:
        self._log, self._at = log, 0
        self.read: list[int] = []
        self.is_closed = False
        log.readers.append(self)
        log.at_once = max(log.at_once, sum(not each.is_closed for each in log.readers))

    def offsets_for_times(self, asked: Sequence[TopicPartition], **_: Any) -> list[TopicPartition]:
        return [TopicPartition(each.topic, each.partition, 0) for each in asked]

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        [self._at] = [each.offset for each in partitions]

    def poll(self, longest_s: float) -> "Found | None":
        if not self._log.gate.wait(longest_s) or self._at >= len(self._log.values):
            return None
        self.read.append(self._at)
        self._at += 1
        return Found(self.read[-1], self._log.values[self.read[-1]])

    def consume(self, *_: Any) -> Iterator["Found"]:
        return iter(())

    def close(self) -> None:
        self.is_closed = True


class Found:
    """A record that was read."""

    def __init__(self, offset: int, value: bytes) -> None:
        self._offset, self._value = offset, value

    def topic(self) -> str:
        return Q.topic

    def partition(self) -> int:
        return Q.partition

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._value

    def error(self) -> None:
        return None


class WholeLag:
    """Says that nothing of the log is moved."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def spans(self) -> dict[Place, Span]:
        end = len(self._log.values)
        return {Q: Span(0, end, end, is_exact=True)}


@pytest.fixture
def log() -> Log:
    """Return a log of some jobs."""
    log = Log()
    log.put(*(new_job() for _ in range(5)))
    return log


@pytest.fixture
def finder(log: Log, monkeypatch: pytest.MonkeyPatch) -> Iterator[Search]:
    """Lend a search of the log."""
    monkeypatch.setattr(search, "Consumer", lambda *_, **__: Reading(log))
    options = Options(brokers="nobody", prefix=PREFIX)
    topics = Topics(options, cast("AdminClient", None))
    topics.partitions = {Q.topic: 1}
    finder = Search(options, topics, Backlog(topics.stem), cast("Lag", WholeLag(log)))
    yield finder
    log.gate.set()
    finder.close()


async def test_what_was_looked_through_for_an_id_is_not_read_again_and_what_is_new_is(log: Log, finder: Search) -> None:
    job = new_job()

    assert await finder.find([job.id]) == {}
    assert await finder.find([job.id]) == {}
    assert log.read == list(range(5))
    log.put(job)

    assert list(await finder.find([job.id])) == [job.id]
    assert log.read == list(range(6))


async def test_job_that_was_found_is_found_again_without_what_lies_before_it(log: Log, finder: Search) -> None:
    job = new_job()
    log.put(job)

    first, second = await finder.find([job.id]), await finder.find([job.id])

    assert list(first) == list(second) == [job.id]
    assert log.read == [*range(6), 5]


async def test_no_more_than_two_read_at_once(log: Log, finder: Search) -> None:
    log.gate.clear()
    searches = [asyncio.create_task(finder.find([new_job().id])) for _ in range(6)]
    await until("some read", lambda: len(log.readers) == 2)

    log.gate.set()

    assert await asyncio.gather(*searches) == [{}] * 6
    assert log.at_once == 2
    assert len(log.readers) == 6


async def test_search_ends_with_its_caller(log: Log, finder: Search) -> None:
    log.gate.clear()
    call = asyncio.create_task(finder.find([new_job().id]))
    await until("it reads", lambda: log.readers)

    call.cancel()

    await until("it has ended", lambda: log.readers[0].is_closed)
    assert log.read == []

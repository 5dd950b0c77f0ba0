"""Taking partitions over: from where they were moved to, and from nowhere that would leave something out."""

import asyncio
import logging
from collections.abc import Collection
from typing import cast

import pytest
import pytest_asyncio
from confluent_kafka.admin import AdminClient
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.kafka.backlog import Backlog
from protojobs_service.drivers.kafka.consumer import Seat
from protojobs_service.drivers.kafka.intake import Intake
from protojobs_service.drivers.kafka.ledger import Ledger
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.ownership import Ownership
from protojobs_service.drivers.kafka.topics import Topics

from tests.kafka.sides import Side
from tests.unit.drivers.kafka.kit import place, record

pytestmark = pytest.mark.asyncio

Q, Q1 = place("q"), place("q", 1)


class KnownTopics(Topics):
    """Topics whose ids the test says. gates: what the next calls wait for."""

    def __init__(self) -> None:
        super().__init__(Options(brokers="nobody"), cast("AdminClient", None))
        self.id = "first"
        self.gates: list[asyncio.Event] = []

    async def ids(self, topics: Collection[str]) -> dict[str, str]:
        if self.gates:
            await self.gates.pop(0).wait()
        return dict.fromkeys(topics, self.id)


class Bench:
    """An ownership over a side store in memory."""

    def __init__(self) -> None:
        self.side, self.topics = Side(), KnownTopics()
        self.backlog, self.ledger = Backlog(self.topics.stem), Ledger(self.side.as_driver().side_store)
        self.ownership = self.another()

    def another(self) -> Ownership:
        """Return the ownership of another server."""
        intake = Intake(self.side.as_driver(), self.backlog, lookahead=1, park=_fail, skip=_fail, done=lambda _: None)
        return Ownership(self.backlog, intake, self.ledger, self.topics)

    async def start(self, *, committed: int | None, moved: int, low: int, high: int) -> int:
        """Return where a partition begins."""
        await self.ledger.raise_to("moved", {Q: moved})
        starts = await self.ownership.assigned([Seat(Q, committed, low, high)])
        assert self.backlog.partitions[Q].done == self.backlog.partitions[Q].read == starts[Q]
        return starts[Q]


async def _fail(*_: object) -> None:
    raise AssertionError


@pytest_asyncio.fixture
async def bench() -> Bench:
    """Return an ownership of which nothing is known."""
    bench = Bench()
    await bench.side.prepare()
    return bench


@pytest.mark.parametrize(
    ("committed", "moved", "low", "high", "start"),
    [
        (None, 0, 0, 0, 0),
        (None, 0, 0, 10, 0),
        (None, 0, 4, 10, 4),
        (5, 0, 0, 10, 5),
        (None, 5, 0, 10, 5),
        (5, 7, 0, 10, 7),
        (7, 5, 0, 10, 7),
        (10, 10, 0, 10, 10),
        (10, 10, 10, 10, 10),
        (5, 0, 5, 10, 5),
        (0, 0, 4, 10, 4),
        (11, 0, 0, 10, 0),
        (None, 11, 0, 10, 0),
        (11, 11, 3, 10, 3),
        (3, 11, 0, 10, 0),
    ],
)
async def test_a_partition_begins_behind_what_was_moved_else_at_its_first_record(
    bench: Bench, committed: int | None, moved: int, low: int, high: int, start: int
) -> None:
    assert await bench.start(committed=committed, moved=moved, low=low, high=high) == start
    assert bench.ownership.lost_records == 0


@pytest.mark.parametrize(
    ("committed", "moved", "low", "lost"), [(5, 0, 8, 3), (None, 5, 8, 3), (5, 7, 8, 1), (8, 0, 8, 0), (None, 0, 8, 0)]
)
async def test_records_that_were_deleted_before_they_were_moved_are_counted(
    bench: Bench, committed: int | None, moved: int, low: int, lost: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        start = await bench.start(committed=committed, moved=moved, low=low, high=10)

    assert start == low
    assert bench.ownership.lost_records == lost
    assert len(caplog.records) == (1 if lost else 0)


async def test_a_topic_that_was_made_again_is_read_from_its_beginning_whatever_its_predecessor_had(bench: Bench) -> None:
    await bench.start(committed=50, moved=60, low=0, high=100)
    await bench.ledger.raise_to("barrier", {Q: 60, Q1: 60})
    await bench.ledger.add("cleared", Q, 7)
    bench.backlog.note_acked({Q: 100})

    bench.topics.id = "second"
    starts = await bench.ownership.assigned([Seat(Q, None, 0, 70)])

    assert starts == {Q: 0}
    assert bench.backlog.partitions[Q].barrier == 0
    assert await bench.ledger.read("barrier", [Q, Q1]) == {Q: 0, Q1: 0}
    assert await bench.ledger.read("cleared", [Q]) == {Q: 0}
    assert bench.backlog.acked == {Q: 70}


async def test_a_topic_that_is_still_the_same_keeps_what_was_noted(bench: Bench) -> None:
    await bench.start(committed=None, moved=5, low=0, high=10)
    await bench.ledger.raise_to("barrier", {Q: 8})

    starts = await bench.another().assigned([Seat(Q, None, 0, 10)])

    assert starts == {Q: 5}
    assert bench.backlog.partitions[Q].barrier == 8


async def test_nothing_is_taken_over_while_the_side_store_is_away(bench: Bench) -> None:
    bench.side.is_down = True

    with pytest.raises(StoreUnavailable):
        await bench.ownership.assigned([Seat(Q, 3, 0, 10)])

    assert bench.backlog.partitions == {}


async def test_a_partition_that_is_given_up_says_how_far_it_was_moved(bench: Bench) -> None:
    await bench.start(committed=4, moved=0, low=0, high=10)

    assert await bench.ownership.release([Q, Q1]) == {Q: 4}
    assert bench.backlog.partitions == {}


async def test_a_partition_that_was_lost_is_dropped(bench: Bench) -> None:
    await bench.start(committed=4, moved=0, low=0, high=10)

    bench.ownership.lost([Q, Q1])

    assert bench.backlog.partitions == {}


async def test_assignment_that_was_given_up_changes_nothing_of_a_later_one(bench: Bench) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    bench.topics.gates = [*gates]
    seats = [Seat(Q, None, 0, 100)]
    given_up, later = [asyncio.create_task(bench.ownership.assigned(seats)) for _ in gates]
    await asyncio.sleep(0)
    gates[1].set()
    assert await later == {Q: 0}
    bench.backlog.put([(Q, record(n, value=b"x")) for n in range(50)])

    gates[0].set()
    await given_up
    bench.backlog.put([(Q, record(n, value=b"x")) for n in range(50, 60)])

    assert [each.offset for each in bench.backlog.partitions[Q].records] == list(range(60))


async def test_assignment_that_was_given_up_takes_no_partition_that_has_left(bench: Bench) -> None:
    gate = asyncio.Event()
    bench.topics.gates = [gate]
    given_up = asyncio.create_task(bench.ownership.assigned([Seat(Q, None, 0, 100)]))
    await asyncio.sleep(0)
    bench.ownership.lost([Q])

    gate.set()
    await given_up

    assert Q not in bench.backlog.partitions


async def test_partition_that_was_cut_loses_nothing_of_what_comes_after(bench: Bench) -> None:
    await bench.ledger.raise_to("barrier", {Q: 970, Q1: 970})
    assert await bench.start(committed=1000, moved=1000, low=0, high=900) == 0

    starts = await bench.ownership.assigned([Seat(Q, 950, 0, 1010)])

    assert starts == {Q: 950}
    assert bench.backlog.partitions[Q].barrier == 900
    assert await bench.ledger.read("barrier", [Q1]) == {Q1: 970}


async def test_assignment_that_was_given_up_says_nothing_of_a_partition_that_was_cut(bench: Bench) -> None:
    await bench.start(committed=None, moved=1000, low=0, high=1010)
    gate = asyncio.Event()
    bench.topics.gates = [gate]
    given_up = asyncio.create_task(bench.ownership.assigned([Seat(Q, None, 0, 900)]))
    await asyncio.sleep(0)
    bench.ownership.lost([Q])

    gate.set()
    await given_up

    assert await bench.ledger.read("moved", [Q]) == {Q: 1000}

"""Counting what waits in the side store: it takes a bounded share of the time, and forgets no lease of meanwhile."""

from collections.abc import Callable

import pytest
import pytest_asyncio
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.kafka.backlog import Backlog
from protojobs_service.drivers.kafka.census import Census
from protojobs_service.drivers.kafka.topics import stem_of

from tests.contract.acts import store
from tests.kafka.sides import Side
from tests.unit.drivers.kafka.kit import PREFIX

pytestmark = pytest.mark.asyncio

STEM = stem_of(PREFIX, "q")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        """Start somewhere."""
        self.at = 1000.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.at


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands."""
    return Clock()


@pytest_asyncio.fixture
async def side() -> Side:
    """Return a store in which three jobs wait."""
    side = Side()
    await side.prepare()
    for _ in range(3):
        await store(side.driver)
    return side


@pytest.fixture
def backlog() -> Backlog:
    """Return a backlog of nothing."""
    return Backlog(lambda queue: stem_of(PREFIX, queue))


@pytest.fixture
def census(side: Side, backlog: Backlog, clock: Clock) -> Census:
    """Return a census that has counted nothing."""
    return Census(side.as_driver(), backlog, lookahead=10, clock=clock)


def taking(clock: Clock, seconds: float) -> Callable[[str], None]:
    """Return what makes a call take so long."""

    def pass_time(_call: str) -> None:
        clock.at += seconds

    return pass_time


async def test_what_waits_is_counted_by_stem(census: Census, backlog: Backlog) -> None:
    await census.take()

    assert backlog.waiting == {STEM: 3}


async def test_a_quick_count_is_due_again_after_a_tenth_of_a_second(census: Census, clock: Clock) -> None:
    await census.take()

    clock.at += 0.09
    assert not census.is_due
    clock.at += 0.02
    assert census.is_due


async def test_a_slow_count_takes_a_tenth_of_the_time(census: Census, side: Side, clock: Clock) -> None:
    side.before = taking(clock, 2.0)

    await census.take()

    clock.at += 19.9
    assert not census.is_due
    clock.at += 0.2
    assert census.is_due


async def test_a_count_that_fails_is_due_again_after_a_second(census: Census, side: Side, backlog: Backlog, clock: Clock) -> None:
    await census.take()
    side.is_down = True

    with pytest.raises(StoreUnavailable):
        await census.take()

    assert backlog.waiting == {STEM: 3}
    assert not census.is_due
    clock.at += 1.1
    assert census.is_due


async def test_what_is_leased_while_it_is_counted_waits_no_longer(census: Census, side: Side, backlog: Backlog) -> None:
    side.before = lambda _call: census.leased(["q", "q"])

    await census.take()

    assert backlog.waiting == {STEM: 1}


async def test_what_was_leased_before_is_not_taken_off_again(census: Census, backlog: Backlog) -> None:
    census.leased(["q", "q"])

    await census.take()

    assert backlog.waiting == {STEM: 3}

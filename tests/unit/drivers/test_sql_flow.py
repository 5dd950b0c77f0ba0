"""Flow control of dispatch: while workers turn over, jobs wait a little for room instead of piling up in `ready`."""

import asyncio
import time
from dataclasses import dataclass

import pytest
from protojobs_service.drivers.sql.cold.waiting import Arrival
from protojobs_service.drivers.sql.dispatching import Dispatching
from protojobs_service.drivers.sql.lanes import Lanes
from protojobs_service.drivers.sql.marks import Marks
from protojobs_service.drivers.sql.positions import Positions
from protojobs_service.drivers.sql.ready import NoRoom, Ready

pytestmark = pytest.mark.asyncio

WAIT_S = 0.1


@dataclass
class Busy(NoRoom):
    """Room as the test says."""

    places: int = 0
    turns: bool = True

    def free(self) -> int:
        return self.places

    def turning_over(self) -> bool:
        return self.turns


@dataclass
class NoStore:
    """Hears announcements."""

    def announce(self, lanes: object) -> None:
        """Tell nobody."""


@pytest.fixture
def room() -> Busy:
    """Return the room of workers that turn over."""
    return Busy()


@pytest.fixture
def ready(room: Busy) -> Ready:
    """Return an empty `ready` with that room."""
    positions = Positions()
    marks = Marks(positions)
    lanes = Lanes(NoStore(), None, positions, marks, max_queues=1, max_lanes=1)  # type: ignore[arg-type]
    ready = Ready(NoStore(), positions, marks, lanes)  # type: ignore[arg-type]
    ready.room = room
    return ready


@pytest.fixture
def dispatching(ready: Ready) -> Dispatching:
    """Return the flow control alone: it asks no store."""
    return Dispatching(None, None, None, ready)  # type: ignore[arg-type]


async def _timed(dispatching: Dispatching, rows: int) -> tuple[int | None, float]:
    began = time.monotonic()
    return await dispatching.hold(lambda: rows), time.monotonic() - began


async def test_idle_workers_are_not_waited_for(dispatching: Dispatching, room: Busy) -> None:
    room.turns = False

    allowed, took = await _timed(dispatching, 500)

    assert allowed is None
    assert took < WAIT_S / 2


async def test_no_more_goes_than_there_is_room_for(dispatching: Dispatching, room: Busy) -> None:
    room.places = 700

    assert (await _timed(dispatching, 500))[0] == 700


async def test_room_that_comes_back_is_waited_for(dispatching: Dispatching, ready: Ready, room: Busy) -> None:
    room.places = 500
    await dispatching.hold(lambda: 500)
    room.places = 0
    waiting = asyncio.create_task(dispatching.hold(lambda: 500))
    await asyncio.sleep(0.01)
    assert not waiting.done()

    room.places = 500
    ready.turned()

    assert await waiting == 500


async def test_room_that_does_not_come_back_is_waited_for_at_most_100_ms(dispatching: Dispatching, room: Busy) -> None:
    room.places = 500
    await dispatching.hold(lambda: 500)
    room.places = 0

    allowed, took = await _timed(dispatching, 500)

    assert allowed is None
    assert took >= WAIT_S * 0.9


async def test_request_that_never_fits_is_not_held_up(dispatching: Dispatching, room: Busy) -> None:
    room.places = 10

    allowed, took = await _timed(dispatching, 500)

    assert allowed is None
    assert took < WAIT_S / 2


async def test_a_few_jobs_are_not_held_as_long_and_go_alone(dispatching: Dispatching, room: Busy) -> None:
    room.places = 500
    await dispatching.hold(lambda: 500)
    room.places = 0

    allowed, took = await _timed(dispatching, 1)

    assert allowed == 16
    assert took < WAIT_S / 2


async def test_a_few_jobs_that_come_while_many_are_held_go_before_them(dispatching: Dispatching, room: Busy) -> None:
    room.places = 500
    await dispatching.hold(lambda: 500)
    room.places = 0
    rows = [500]
    waiting = asyncio.create_task(dispatching.hold(lambda: rows[-1]))
    await asyncio.sleep(0.02)
    assert not waiting.done()

    rows.append(1)

    assert await waiting == 16


async def test_many_jobs_wait_no_longer_for_the_few_that_are_let_past(dispatching: Dispatching, room: Busy) -> None:
    room.places = 500
    await dispatching.hold(lambda: 500)
    room.places = 0
    began = time.monotonic()
    past = 0

    while await dispatching.hold(lambda: 1 if time.monotonic() < began + WAIT_S else 500) == 16:
        past += 1

    assert past > 0
    assert time.monotonic() - began < 2 * WAIT_S


async def test_young_backlog_goes_first(dispatching: Dispatching, ready: Ready, room: Busy) -> None:
    room.places = 500
    ready.add({Arrival(1, 5)}, 10)
    waiting = asyncio.create_task(dispatching.hold(lambda: 100))
    await asyncio.sleep(0.01)
    assert not waiting.done()

    ready.took(10, drained=False)

    assert await waiting == 500

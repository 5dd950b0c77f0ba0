"""Large jobs are written aside; what one sender has on its way keeps its order."""

import asyncio
from collections.abc import Sequence

import pytest
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.sql.dispatching import DispatchCall, weigh
from protojobs_service.drivers.sql.roads import DispatchPipeline, Roads
from protojobs_service.port.jobs import Dispatched, DispatchVerdict
from protojobs_service.port.sender import Sender, working_for

from tests.contract.acts import new_job

pytestmark = pytest.mark.asyncio

SMALL, LARGE = 200, 300 * 1024
CREATED = Dispatched(DispatchVerdict.CREATED, State.PENDING)


class Road:
    """Stores what comes when it is let, and keeps the sizes of each flush."""

    def __init__(self) -> None:
        """Begin open."""
        self.flushes: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def flush(self, calls: Sequence[DispatchCall]) -> Sequence[Sequence[Dispatched]]:
        """Store calls."""
        self.flushes.append([call.size for call in calls])
        await self.gate.wait()
        return [[CREATED] * len(call.jobs) for call in calls]


@pytest.fixture
def plain() -> Road:
    """Return the road of small jobs."""
    return Road()


@pytest.fixture
def aside() -> Road:
    """Return the road of large jobs."""
    return Road()


@pytest.fixture
def roads(plain: Road, aside: Road) -> Roads:
    """Return both."""
    return Roads(DispatchPipeline("plain", plain.flush, weigh=weigh), DispatchPipeline("aside", aside.flush, weigh=weigh))


def call(*sizes: int) -> DispatchCall:
    """Return a call of jobs with envelopes of these sizes."""
    return DispatchCall.of([new_job()._replace(envelope=bytes(size)) for size in sizes], atomic=False)


async def send(roads: Roads, sender: str, *calls: DispatchCall) -> list["asyncio.Task[Sequence[Dispatched]]"]:
    """Send calls of a sender, in their order, without waiting for their answers."""
    with working_for(Sender(sender)):
        tasks = [asyncio.create_task(roads.run(each)) for each in calls]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_small_jobs_do_not_wait_while_large_ones_of_others_are_written(roads: Roads, plain: Road, aside: Road) -> None:
    aside.gate.clear()
    [large] = await send(roads, "one", call(LARGE))

    [small] = await send(roads, "other", call(SMALL))
    answer = await small

    assert answer == [CREATED]
    assert not large.done()
    aside.gate.set()
    assert await large == [CREATED]
    assert (plain.flushes, aside.flushes) == ([[SMALL]], [[LARGE]])


async def test_many_small_jobs_of_one_call_are_not_large(roads: Roads, plain: Road, aside: Road) -> None:
    await asyncio.gather(*await send(roads, "one", call(*[1024] * 1000)))

    assert len(plain.flushes) == 1
    assert not aside.flushes


@pytest.mark.parametrize(("first", "second"), [(SMALL, LARGE), (LARGE, SMALL)], ids=["large after small", "small after large"])
async def test_what_one_sender_sends_keeps_its_order(roads: Roads, plain: Road, aside: Road, first: int, second: int) -> None:
    taken, other = (plain, aside) if first == SMALL else (aside, plain)
    taken.gate.clear()
    calls = await send(roads, "one", call(first), call(second))

    taken.gate.set()
    await asyncio.gather(*calls)

    assert [size for flush in taken.flushes for size in flush] == [first, second]
    assert not other.flushes


async def test_a_sender_with_nothing_on_its_way_chooses_anew(roads: Roads, plain: Road, aside: Road) -> None:
    for size in (SMALL, LARGE, SMALL):
        await asyncio.gather(*await send(roads, "one", call(size)))

    assert (plain.flushes, aside.flushes) == ([[SMALL], [SMALL]], [[LARGE]])


async def test_closing_finishes_both(roads: Roads, plain: Road, aside: Road) -> None:
    plain.gate.clear()
    aside.gate.clear()
    calls = [*await send(roads, "one", call(SMALL)), *await send(roads, "other", call(LARGE))]
    closing = asyncio.create_task(roads.close())

    plain.gate.set()
    aside.gate.set()
    await closing

    assert await asyncio.gather(*calls) == [[CREATED], [CREATED]]

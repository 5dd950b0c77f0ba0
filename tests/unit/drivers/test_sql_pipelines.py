"""Group commit: what is merged, who is answered, and whom an error reaches."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from protojobs_service.domain.errors import JobsError, Overloaded, QuotaExceeded, StoreUnavailable
from protojobs_service.drivers.sql.pipelines import MAX_ROWS, Pipeline, Weight
from protojobs_service.port.sender import Sender, working_for

pytestmark = pytest.mark.asyncio

LARGE = MAX_ROWS // 2 + 1
"""Rows of which no two calls go in one flush."""


class Store:
    """Commits calls when told to, and keeps what each flush held."""

    def __init__(self) -> None:
        self.flushes: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.poison: dict[int, Exception] = {}
        self.refused = 0

    async def flush(self, calls: Sequence[int]) -> Sequence[int | Exception]:
        """Double every call."""
        self.flushes.append(list(calls))
        await self.gate.wait()
        for call in calls:
            if call in self.poison:
                raise self.poison[call]
        return [call * 2 for call in calls]


@pytest.fixture
def store() -> Store:
    """Return a store that commits at once."""
    return Store()


@pytest.fixture
def pipeline(store: Store) -> Pipeline[int, int]:
    """Return a pipeline into it; a call weighs as many rows as its number."""
    return Pipeline("test", store.flush, weigh=lambda call: Weight(call, 0))


async def _started(pipeline: Pipeline[int, int], *calls: int) -> list["asyncio.Task[int]"]:
    tasks = [asyncio.create_task(pipeline.run(call)) for call in calls]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_what_comes_while_a_flush_is_in_flight_goes_in_one(store: Store, pipeline: Pipeline[int, int]) -> None:
    store.gate.clear()
    first = await _started(pipeline, 1)
    rest = await _started(pipeline, 2, 3, 4)

    store.gate.set()
    answers = await asyncio.gather(*first, *rest)

    assert answers == [2, 4, 6, 8]
    assert store.flushes == [[1], [2, 3, 4]]


async def test_flush_is_cut_at_the_cap(store: Store, pipeline: Pipeline[int, int]) -> None:
    store.gate.clear()
    first = await _started(pipeline, 1)
    rest = await _started(pipeline, MAX_ROWS - 1, 1, 1)

    store.gate.set()
    await asyncio.gather(*first, *rest)

    assert store.flushes == [[1], [MAX_ROWS - 1, 1], [1]]


async def test_a_small_call_of_another_sender_goes_before_large_ones_that_came_first(
    store: Store, pipeline: Pipeline[int, int]
) -> None:
    store.gate.clear()
    with working_for(Sender("large")):
        large = await _started(pipeline, LARGE, LARGE, LARGE)
    with working_for(Sender("small")):
        small = await _started(pipeline, 1)

    store.gate.set()
    await asyncio.gather(*large, *small)

    assert store.flushes == [[LARGE], [1, LARGE], [LARGE]]


async def test_calls_of_one_sender_keep_their_order_whatever_they_weigh(store: Store, pipeline: Pipeline[int, int]) -> None:
    store.gate.clear()
    with working_for(Sender("one")):
        calls = await _started(pipeline, LARGE, 2, LARGE, 1)

    store.gate.set()
    await asyncio.gather(*calls)

    assert store.flushes == [[LARGE, 2], [LARGE, 1]]


async def test_a_large_call_does_not_wait_for_small_ones_that_keep_coming(store: Store, pipeline: Pipeline[int, int]) -> None:
    async def come_again_and_again(sender: str) -> None:
        with working_for(Sender(sender)):
            while len(store.flushes) < 100:
                await pipeline.run(1)

    small = [asyncio.create_task(come_again_and_again(f"small {number}")) for number in range(10)]
    await asyncio.sleep(0)

    with working_for(Sender("large")):
        await pipeline.run(MAX_ROWS)
    flushes = len(store.flushes)
    await asyncio.gather(*small)

    assert flushes < 10


async def test_calls_whose_callers_have_left_are_not_made_where_nobody_needs_them(store: Store) -> None:
    pipeline = Pipeline[int, int]("test", store.flush, weigh=lambda call: Weight(call, 0), forgets=True)
    store.gate.clear()
    first, left, other = await _started(pipeline, MAX_ROWS, 2, 3)

    left.cancel()
    store.gate.set()

    assert [await first, await other] == [2 * MAX_ROWS, 6]
    assert store.flushes == [[MAX_ROWS], [3]]


async def test_where_everybody_has_left_the_next_caller_is_served(store: Store) -> None:
    pipeline = Pipeline[int, int]("test", store.flush, weigh=lambda call: Weight(call, 0), forgets=True)
    store.gate.clear()
    first, left = await _started(pipeline, MAX_ROWS, 2)
    left.cancel()

    store.gate.set()
    await first

    assert await pipeline.run(4) == 8
    assert store.flushes == [[MAX_ROWS], [4]]


async def test_who_is_held_may_be_overtaken_by_what_needs_less(store: Store) -> None:
    asked: list[int] = []
    seen = asyncio.Event()

    async def hold(next_rows: Callable[[], int]) -> int | None:
        while next_rows() > 1:
            asked.append(next_rows())
            seen.set()
            await asyncio.sleep(0)
            if len(asked) > 1000:
                return None
        return 1

    pipeline = Pipeline[int, int]("test", store.flush, weigh=lambda call: Weight(call, 0), hold=hold)
    with working_for(Sender("large")):
        large = await _started(pipeline, LARGE)
    await seen.wait()

    with working_for(Sender("small")):
        small = await _started(pipeline, 1)
    await asyncio.gather(*small, *large)

    assert store.flushes == [[1], [LARGE]]


async def test_call_over_the_cap_goes_alone(store: Store, pipeline: Pipeline[int, int]) -> None:
    assert await pipeline.run(MAX_ROWS + 1) == 2 * (MAX_ROWS + 1)


async def test_poisoned_call_fails_alone(store: Store, pipeline: Pipeline[int, int]) -> None:
    store.poison[2] = QuotaExceeded("too many queues")

    answers = await asyncio.gather(*(pipeline.run(call) for call in (1, 2, 3)), return_exceptions=True)

    assert [answers[0], answers[2]] == [2, 6]
    assert isinstance(answers[1], QuotaExceeded)
    assert store.flushes == [[1, 2, 3], [1], [2], [3]]


@pytest.mark.parametrize("error", [StoreUnavailable(), Overloaded("no lock to be had")])
async def test_store_that_is_away_or_full_fails_its_callers_once(
    store: Store, pipeline: Pipeline[int, int], error: JobsError
) -> None:
    store.poison[2] = error

    answers = await asyncio.gather(*(pipeline.run(call) for call in (1, 2)), return_exceptions=True)

    assert answers == [error, error]
    assert store.flushes == [[1, 2]]
    assert await pipeline.run(3) == 6


async def test_store_that_fills_up_while_calls_run_alone_ends_that(store: Store, pipeline: Pipeline[int, int]) -> None:
    store.poison[1] = QuotaExceeded("too many queues")
    store.poison[2] = Overloaded("no lock to be had")

    answers = await asyncio.gather(*(pipeline.run(call) for call in (1, 2, 3, 4)), return_exceptions=True)

    assert [type(answer) for answer in answers] == [QuotaExceeded, Overloaded, Overloaded, Overloaded]
    assert store.flushes == [[1, 2, 3, 4], [1], [2]]


async def test_flush_that_answers_too_few_leaves_nobody_waiting_and_is_not_run_again(store: Store) -> None:
    async def flush(calls: Sequence[int]) -> Sequence[int | Exception]:
        return [] if len(await store.flush(calls)) > 1 else list(calls)

    pipeline = Pipeline[int, int]("test", flush, weigh=lambda _: Weight(1, 0))

    answers = await asyncio.gather(*(pipeline.run(call) for call in (1, 2)), return_exceptions=True)

    assert [type(answer) for answer in answers] == [StoreUnavailable, StoreUnavailable]
    assert store.flushes == [[1, 2]]
    assert await pipeline.run(3) == 3


@pytest.mark.parametrize("where", ["flush", "hold"])
async def test_whoever_waits_hears_of_the_end_of_the_pipeline(store: Store, where: str) -> None:
    broken = [True]

    async def fail(place: str) -> None:
        if place == where and broken:
            broken.clear()
            raise asyncio.CancelledError

    async def flush(calls: Sequence[int]) -> Sequence[int | Exception]:
        await fail("flush")
        return await store.flush(calls)

    async def hold(next_rows: Callable[[], int]) -> int | None:
        await fail("hold")
        return 1

    pipeline = Pipeline[int, int]("test", flush, weigh=lambda _: Weight(1, 0), hold=hold)

    answers = await asyncio.gather(*(pipeline.run(call) for call in (1, 2)), return_exceptions=True)

    assert [type(answer) for answer in answers] == [StoreUnavailable, StoreUnavailable]
    assert await pipeline.run(3) == 6


async def test_cancelled_caller_leaves_the_others_alone(store: Store, pipeline: Pipeline[int, int]) -> None:
    store.gate.clear()
    one, other = await _started(pipeline, 1, 2)

    one.cancel()
    store.gate.set()

    assert await other == 4
    with pytest.raises(asyncio.CancelledError):
        await one


async def test_close_finishes_what_is_pending_and_refuses_the_rest(store: Store, pipeline: Pipeline[int, int]) -> None:
    store.gate.clear()
    tasks = await _started(pipeline, 1, 2)
    closing = asyncio.create_task(pipeline.close())
    await asyncio.sleep(0)

    store.gate.set()
    await closing

    assert await asyncio.gather(*tasks) == [2, 4]
    with pytest.raises(StoreUnavailable):
        await pipeline.run(3)


async def test_hold_bounds_what_goes_and_its_failure_stops_nothing(store: Store) -> None:
    allowed = [2, None]

    async def hold(next_rows: Callable[[], int]) -> int | None:
        if not allowed:
            raise RuntimeError("broken")
        return allowed.pop(0)

    pipeline = Pipeline[int, int]("test", store.flush, weigh=lambda _: Weight(1, 0), hold=hold)

    await asyncio.gather(*(pipeline.run(call) for call in range(5)))
    assert store.flushes == [[0, 1], [2, 3, 4]]
    assert await pipeline.run(5) == 10

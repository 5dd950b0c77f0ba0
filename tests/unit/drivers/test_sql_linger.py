"""Callers that were answered together go together again, and nobody waits longer than is told."""

import asyncio
from collections.abc import Sequence

import pytest
from protojobs_service.drivers.sql.linger import ENOUGH, SOON_S, Linger
from protojobs_service.drivers.sql.pipelines import Pipeline, Weight
from protojobs_service.port.sender import Sender, working_for

pytestmark = pytest.mark.asyncio

LONG_S = 600.0
"""No test waits so long: what waits for a time, waits for ever."""
SHORT_S = 0.001
CALLS = (1, 2, 3)


class Store:
    """Commits when told to; each flush takes as long as `lasts`, by the clock that is given to the pipeline."""

    def __init__(self) -> None:
        self.now, self.lasts = 0.0, LONG_S
        self.flushes: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def flush(self, calls: Sequence[int]) -> Sequence[int]:
        """Answer every call with itself."""
        await self.gate.wait()
        self.flushes.append(list(calls))
        self.now += self.lasts
        return calls

    def pipeline(self, longest_s: float) -> Pipeline[int, int]:
        """Return a pipeline into it; a call weighs as many rows as its number."""
        linger = Linger(longest_s, clock=lambda: self.now)
        return Pipeline("test", self.flush, weigh=lambda call: Weight(call, 0), linger=linger)


async def _started(pipeline: Pipeline[int, int], *calls: int) -> list["asyncio.Task[int]"]:
    tasks = [asyncio.create_task(pipeline.run(call)) for call in calls]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def _on_stream(pipeline: Pipeline[int, int], line: int) -> list["asyncio.Task[int]"]:
    with working_for(Sender("one", line, is_stream=True)):
        return await _started(pipeline, line)


async def _answered_together(store: Store, pipeline: Pipeline[int, int], *calls: int) -> None:
    store.gate.clear()
    first = await _started(pipeline, 1)
    rest = await _started(pipeline, *calls)
    store.gate.set()
    await asyncio.gather(*first, *rest)
    store.flushes.clear()


async def test_who_was_answered_together_goes_together_again() -> None:
    store = Store()
    pipeline = store.pipeline(LONG_S)
    await _answered_together(store, pipeline, *CALLS)

    calls = [task for number in CALLS for task in await _started(pipeline, number)]
    await asyncio.gather(*calls)

    assert store.flushes == [list(CALLS)]


async def test_nobody_is_waited_for_who_was_answered_long_ago() -> None:
    store = Store()
    pipeline = store.pipeline(LONG_S)
    await _answered_together(store, pipeline, *CALLS)

    store.now += 2 * SOON_S
    await pipeline.run(1)

    assert store.flushes == [[1]]


async def test_who_is_alone_never_waits() -> None:
    store = Store()
    pipeline = store.pipeline(LONG_S)

    for number in (1, 2, 3):
        await pipeline.run(number)

    assert store.flushes == [[1], [2], [3]]


async def test_nobody_goes_before_all_have_come() -> None:
    store = Store()
    pipeline = store.pipeline(LONG_S)
    await _answered_together(store, pipeline, *CALLS)
    [first] = await _started(pipeline, 1)
    assert not store.flushes

    rest = await _started(pipeline, *CALLS[1:-1])
    assert not store.flushes
    last = await _started(pipeline, CALLS[-1])
    await asyncio.gather(first, *rest, *last)

    assert store.flushes == [list(CALLS)]


async def test_a_wait_ends_with_its_time() -> None:
    store = Store()
    pipeline = store.pipeline(SHORT_S)
    await _answered_together(store, pipeline, *CALLS)

    await pipeline.run(1)

    assert store.flushes == [[1]]


async def test_a_flush_with_enough_rows_waits_for_nobody() -> None:
    store = Store()
    pipeline = store.pipeline(LONG_S)
    await _answered_together(store, pipeline, ENOUGH, 2, 3)

    await pipeline.run(ENOUGH)

    assert store.flushes == [[ENOUGH]]


async def test_rows_that_come_meanwhile_count_too() -> None:
    store = Store()
    pipeline = store.pipeline(LONG_S)
    await _answered_together(store, pipeline, *CALLS)

    small = await _started(pipeline, 1)
    large = await _started(pipeline, ENOUGH)
    await asyncio.gather(*small, *large)

    assert store.flushes == [[1, ENOUGH]]


async def test_a_store_that_answers_at_once_makes_nobody_wait() -> None:
    store = Store()
    store.lasts = 0.0
    pipeline = store.pipeline(LONG_S)
    await _answered_together(store, pipeline, *CALLS)

    await pipeline.run(1)

    assert store.flushes == [[1]]


async def test_frames_of_one_stream_do_not_wait_for_each_other() -> None:
    store = Store()
    pipeline = store.pipeline(LONG_S)
    with working_for(Sender("one", 1, is_stream=True)):
        await _answered_together(store, pipeline, *CALLS)

        await pipeline.run(1)

    assert store.flushes == [[1]]


async def test_streams_wait_for_each_other() -> None:
    store = Store()
    pipeline = store.pipeline(LONG_S)
    store.gate.clear()
    first = await _started(pipeline, 1)
    rest = [task for line in CALLS for task in await _on_stream(pipeline, line)]
    store.gate.set()
    await asyncio.gather(*first, *rest)

    calls = [task for line in CALLS for task in await _on_stream(pipeline, line)]
    await asyncio.gather(*calls)

    assert store.flushes[1:] == [list(CALLS)] * 2


async def test_close_waits_for_nobody_else() -> None:
    store = Store()
    pipeline = store.pipeline(LONG_S)
    await _answered_together(store, pipeline, *CALLS)
    [waiting] = await _started(pipeline, 1)
    assert not store.flushes

    await pipeline.close()

    assert await waiting == 1


async def test_by_default_nobody_waits() -> None:
    store = Store()
    pipeline = Pipeline[int, int]("test", store.flush, weigh=lambda call: Weight(call, 0))
    await _answered_together(store, pipeline, *CALLS)

    await pipeline.run(1)

    assert store.flushes == [[1]]

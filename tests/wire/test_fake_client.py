"""The fake client changes stored jobs and tells of them as a server does: every test here is asked of both."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from protojobs_client import (
    AsyncClient,
    DispatchOutcome,
    JobEvent,
    JobState,
    OnConflict,
    RetryPolicy,
    Unique,
)
from protojobs_client.errors import (
    DuplicateJobError,
    InvalidArgumentError,
    JobFinalError,
    JobNotFoundError,
    JobRunningError,
)
from protojobs_client.models import BulkAction

from tests.wire.fake_and_real import LATER, SIDES, UNKNOWN, Side, bulk, put, refusal

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture(params=SIDES)
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    """Give the test one of the two."""
    opened: AbstractAsyncContextManager[Side] = SIDES[request.param]()
    async with opened as side:
        yield side


@pytest.fixture
def client(side: Side) -> AsyncClient:
    """Give the test its client alone."""
    return side.client


async def test_update_changes_what_it_names_and_nothing_else(client: AsyncClient) -> None:
    [job_id] = await put(client, priority=3, labels={"a": "1"}, headers={"h": "x"})

    told = await client.update_job(
        job_id, data={"n": 1}, priority=7, queue="other", labels={"b": "2"}, retry=RetryPolicy(max_retries=9)
    )
    job, payload = await client.get(job_id, full=True), await client.payload(job_id)

    assert (told.id, told.queue, told.priority, told.labels) == (job_id, "other", 7, {"b": "2"})
    assert (job.state, job.headers, payload.data) == (JobState.PENDING, {"h": "x"}, b'{"n":1}')


async def test_job_that_was_changed_is_still_the_one_that_was_dispatched(client: AsyncClient) -> None:
    [job_id] = await put(client)
    await client.update_job(job_id, priority=9, data=2)

    again = await client.dispatch("k", 0, job_id=job_id)

    assert again.outcome is DispatchOutcome.EXISTING
    assert (await client.get(job_id)).priority == 9


async def test_changed_job_waits_behind_the_others(side: Side) -> None:
    first, second = await put(side.client, 2)

    await side.client.update_job(first, labels={"a": "1"})

    assert [await side.begin(), await side.begin()] == [second, first]


async def test_update_moves_the_start(client: AsyncClient) -> None:
    [job_id] = await put(client)

    later = await client.update_job(job_id, delay=LATER)
    kept = await client.update_job(job_id, priority=1)
    at_once = await client.update_job(job_id, run_at=None)

    assert (later.state, later.next_at is None) == (JobState.SCHEDULED, False)
    assert (kept.state, kept.next_at) == (JobState.SCHEDULED, later.next_at)
    assert (at_once.state, at_once.next_at) == (JobState.PENDING, None)


async def test_job_that_retries_does_so_after_an_update_too(side: Side) -> None:
    await put(side.client)
    job_id = await side.begin()
    await side.end(job_id, fails=True)

    same = await side.client.update_job(job_id, priority=2)
    at_once = await side.client.update_job(job_id, delay=0)

    assert (same.state, at_once.state, at_once.failures) == (JobState.RETRYING, JobState.PENDING, 1)


async def test_update_is_refused_where_nothing_waits(side: Side) -> None:
    await put(side.client)
    job_id = await side.begin()

    running = await refusal(side.client.update_job(job_id, priority=1))
    await side.end(job_id)
    final = await refusal(side.client.update_job(job_id, priority=1))
    await side.client.delete(job_id)
    gone = await refusal(side.client.update_job(job_id, priority=1))
    unknown = await refusal(side.client.update_job(UNKNOWN, priority=1))

    assert running == (JobRunningError, "JOB_RUNNING", ())
    assert final == (JobFinalError, "JOB_FINAL", ())
    assert gone == unknown == (JobNotFoundError, "JOB_NOT_FOUND", ())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"priority": 10}, "spec.priority"),
        ({"queue": "no queue"}, "spec.queue"),
        ({"delay": LATER}, "spec.delay"),
    ],
)
async def test_update_is_refused_by_its_fields(side: Side, changes: dict[str, Any], field: str) -> None:
    client = side.client
    [job_id] = await put(client, expire_at=side.now() + timedelta(minutes=1))

    assert await refusal(client.update_job(job_id, **changes)) == (InvalidArgumentError, "INVALID_FIELD", (field,))
    assert await refusal(client.update_job("no id", priority=1)) == (InvalidArgumentError, "INVALID_FIELD", ("job_id",))
    with pytest.raises(TypeError):
        await client.update_job(job_id)


async def test_job_does_not_move_to_a_queue_where_another_one_has_its_key(client: AsyncClient) -> None:
    [mine] = await put(client, unique=Unique("u"), queue="a")
    [holder] = await put(client, unique=Unique("u"), queue="b")

    with pytest.raises(DuplicateJobError) as refused:
        await client.update_job(mine, queue="b")

    assert refused.value.job_id == holder
    assert (await client.get(mine)).queue == "a"
    assert await bulk(client, BulkAction.MOVE, job_ids=[mine], queue="b") == (0, 1)


def brief(event: JobEvent) -> tuple[str, str, int, JobState, JobState, bool, bool]:
    """Return what both sides tell alike."""
    timed = event.execution_time is not None
    return event.name, event.id, event.attempt, event.before, event.after, event.final, timed


async def some(events: Any, number: int) -> list[JobEvent]:
    async with asyncio.timeout(15):
        return [await anext(events) for _ in range(number)]


async def test_watch_tells_how_jobs_end(side: Side) -> None:
    client = side.client
    async with client.watch_jobs() as events:
        await put(client, 2, retry=RetryPolicy(max_retries=1, initial_backoff=timedelta(hours=1)))
        done, retried = await side.begin(), await side.begin()
        await side.end(done)
        await side.end(retried, fails=True)
        await client.cancel(retried)
        told = await some(events, 3)
        await client.delete(done)
        told += await some(events, 1)

    assert [brief(event) for event in told] == [
        ("job.processed", done, 1, JobState.RUNNING, JobState.COMPLETED, True, True),
        ("job.retrying", retried, 1, JobState.RUNNING, JobState.RETRYING, False, True),
        ("job.cancelled", retried, 2, JobState.RETRYING, JobState.CANCELLED, True, False),
        ("job.deleted", done, 1, JobState.COMPLETED, JobState.UNKNOWN, True, False),
    ]
    assert (told[0].queue, told[0].kind, told[3].queue, told[3].job) == ("default", "k", "", None)


async def test_watch_tells_of_replaced_and_bulk_cancelled_jobs(client: AsyncClient) -> None:
    async with client.watch_jobs(states=[JobState.CANCELLED]) as events:
        [first] = await put(client, unique=Unique("u"))
        replaced = await client.dispatch("k", 2, unique=Unique("u", on_conflict=OnConflict.REPLACE))
        await bulk(client, BulkAction.CANCEL, all_jobs=True)
        told = await some(events, 2)

    assert replaced.outcome is DispatchOutcome.REPLACED
    assert [(event.id, event.attempt, event.before) for event in told] == [
        (first, 1, JobState.PENDING),
        (replaced.job_id, 1, JobState.PENDING),
    ]


async def test_watch_goes_on_behind_a_cursor(client: AsyncClient) -> None:
    ids = await put(client, 3)
    async with client.watch_jobs() as events:
        for job_id in ids:
            await client.cancel(job_id)
        [first] = await some(events, 1)

    async with client.watch_jobs(cursor=first.cursor) as events:
        assert [event.id for event in await some(events, 2)] == ids[1:]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"queues": ["a"]}, [0, 3]),
        ({"kinds": ["k"], "labels": {"x": "1"}}, [1]),
        ({"labels": {"x": "2"}}, []),
        ({"states": [JobState.CANCELLED], "queues": ["a", "b"]}, [0, 1]),
    ],
)
async def test_watch_tells_what_its_filter_names(client: AsyncClient, wanted: dict[str, Any], expected: list[int]) -> None:
    async with client.watch_jobs(**wanted) as events, client.watch_jobs(states=[JobState.CANCELLED], queues=["end"]) as end:
        [first] = await put(client, queue="a")
        [second] = await put(client, queue="b", labels={"x": "1"})
        [third] = await put(client, queue="c")
        for job_id in (first, second, third):
            await client.cancel(job_id)
        await client.delete(first)
        [last] = await put(client, queue="end")
        await client.cancel(last)
        await some(end, 1)
        told = [event.id for event in await some(events, len(expected))]

    assert told == [(first, second, third, first)[place] for place in expected]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"states": [JobState.SCHEDULED]}, "filter.states"),
        ({"states": [JobState.RUNNING]}, "filter.states"),
        ({"states": [JobState.RUNNING], "queues": ["a"]}, "filter.states"),
        ({"queues": ["no queue"]}, "filter.queues[0]"),
        ({"cursor": b"nonsense"}, "cursor"),
    ],
)
async def test_watch_is_refused_by_its_fields(client: AsyncClient, wanted: dict[str, Any], field: str) -> None:
    assert await refusal(client.watch_jobs(**wanted).begin()) == (InvalidArgumentError, "INVALID_FIELD", (field,))


async def test_listener_hears_events_of_its_name(client: AsyncClient) -> None:
    heard: asyncio.Queue[JobEvent] = asyncio.Queue()
    async with client.listen("job.cancelled", heard.put):
        [job_id] = await put(client)
        await client.cancel(job_id)
        async with asyncio.timeout(15):
            event = await heard.get()

    assert event.id == job_id

"""The fake client acts on many jobs, and reads filters, as a server does: every test here is asked of both."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import pytest_asyncio
from protojobs_client import (
    AsyncClient,
    JobId,
    JobRequest,
    JobState,
    Unique,
)
from protojobs_client.errors import (
    InvalidArgumentError,
    JobNotFoundError,
)
from protojobs_client.models import BulkAction

from tests.wire.fake_and_real import LATER, ONCE, SIDES, UNKNOWN, Side, bulk, put, refusal, states

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


async def test_bulk_cancel_takes_what_is_not_final(side: Side) -> None:
    await put(side.client, 3)
    done = await side.begin()
    await side.end(done)

    changed = await bulk(side.client, BulkAction.CANCEL, filter="queue = default")
    again = await bulk(side.client, BulkAction.CANCEL, filter="queue = default")

    assert (changed, again) == ((2, 0), (0, 0))
    assert (await side.client.get(done)).state is JobState.COMPLETED


async def test_bulk_retry_takes_failed_jobs_and_others_that_are_named(side: Side) -> None:
    await put(side.client, 2, retry=ONCE)
    failed, done = await side.begin(), await side.begin()
    await side.end(failed, fails=True)
    await side.end(done)

    by_queue = await bulk(side.client, BulkAction.RETRY, filter="queue = default")
    named = await bulk(side.client, BulkAction.RETRY, filter="state = completed")

    job = await side.client.get(failed)
    assert (by_queue, named) == ((1, 0), (1, 0))
    assert (job.state, job.failures, job.attempt) == (JobState.PENDING, 0, 1)
    assert await states(side.client, [done]) == [JobState.PENDING]


async def test_bulk_retry_leaves_a_job_whose_key_another_one_has(client: AsyncClient) -> None:
    [first] = await put(client, unique=Unique("u"))
    await client.cancel(first)
    await put(client, unique=Unique("u"))

    retried = await bulk(client, BulkAction.RETRY, job_ids=[first])

    assert retried == (0, 1)
    assert await states(client, [first]) == [JobState.CANCELLED]


async def test_bulk_delete_leaves_what_runs(side: Side) -> None:
    ids = await put(side.client, 3)
    running = await side.begin()

    assert await bulk(side.client, BulkAction.DELETE, all_jobs=True) == (2, 0)

    assert await states(side.client, [running]) == [JobState.RUNNING]
    for job_id in ids:
        if job_id != running:
            with pytest.raises(JobNotFoundError):
                await side.client.get(job_id)


async def test_bulk_move_and_set_priority_leave_what_is_as_wanted(client: AsyncClient) -> None:
    ids = [*await put(client, 2, queue="a"), *await put(client, 1, queue="b", priority=2)]

    moved = await bulk(client, BulkAction.MOVE, job_ids=[*ids, UNKNOWN, ids[0]], queue="b")
    raised = await bulk(client, BulkAction.SET_PRIORITY, filter="queue = b", priority=2)

    jobs = [await client.get(job_id) for job_id in ids]
    assert (moved, raised) == ((2, 2), (2, 1))
    assert {(job.queue, job.priority, job.state) for job in jobs} == {("b", 2, JobState.PENDING)}


async def test_dry_run_counts_and_shows_some(client: AsyncClient) -> None:
    ids = await put(client, 12)

    [step] = await client.bulk_jobs(BulkAction.CANCEL, all_jobs=True, dry_run=True).all()

    assert (step.changed, step.skipped, len(set(step.sample) & set(ids))) == (12, 0, 10)
    assert set(await states(client, ids)) == {JobState.PENDING}


async def test_bulk_action_goes_on_in_steps_and_leaves_what_came_meanwhile(client: AsyncClient) -> None:
    await client.dispatch_many([JobRequest("k", n) for n in range(1001)])
    changed: list[int] = []
    late: list[JobId] = []
    async for step in client.bulk_jobs(BulkAction.CANCEL, all_jobs=True):
        changed.append(step.changed)
        late += await put(client)

    assert changed == [1000, 1]
    assert await states(client, late) == [JobState.PENDING, JobState.PENDING]


@pytest.mark.parametrize(
    ("action", "options", "field"),
    [
        (BulkAction.CANCEL, {}, "filter"),
        (BulkAction.CANCEL, {"all_jobs": True, "filter": "kind = k"}, "all"),
        (BulkAction.CANCEL, {"job_ids": [UNKNOWN], "filter": "kind = k"}, "job_ids"),
        (BulkAction.CANCEL, {"job_ids": [UNKNOWN, "no id"]}, "job_ids[1]"),
        (BulkAction.CANCEL, {"job_ids": [UNKNOWN] * 1001}, "job_ids"),
        (BulkAction.CANCEL, {"all_jobs": True, "queue": "q"}, "queue"),
        (BulkAction.CANCEL, {"all_jobs": True, "priority": 1}, "priority"),
        (BulkAction.MOVE, {"all_jobs": True}, "queue"),
        (BulkAction.MOVE, {"all_jobs": True, "queue": "no queue"}, "queue"),
        (BulkAction.SET_PRIORITY, {"all_jobs": True}, "priority"),
        (BulkAction.SET_PRIORITY, {"all_jobs": True, "priority": 10}, "priority"),
    ],
)
async def test_bulk_action_is_refused_by_its_fields(
    client: AsyncClient, action: BulkAction, options: dict[str, Any], field: str
) -> None:
    assert await refusal(client.bulk_jobs(action, **options).all()) == (InvalidArgumentError, "INVALID_FIELD", (field,))


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("queue = a", "ab"),
        ("queue != a", "c"),
        ("QUEUE in (a, b) and kind = k", "abc"),
        ("kind not in (k)", ""),
        ("state in (scheduled, Failed)", "b"),
        ("label.x = 1 and queue = a", "a"),
        ('label.x in ("1", "a \\"quoted\\" one")', "ac"),
        ("label.y = 1", ""),
        ("created > 2020-01-01T00:00:00Z", "abc"),
        ("created < 2020-01-01T00:00:00+01:00", ""),
        (f"parent = {UNKNOWN}", ""),
    ],
)
async def test_filter_names_the_same_jobs(client: AsyncClient, text: str, matches: str) -> None:
    ids = {
        "a": (await put(client, queue="a", labels={"x": "1"}))[0],
        "b": (await put(client, queue="a", delay=LATER))[0],
        "c": (await put(client, queue="b", labels={"x": 'a "quoted" one'}))[0],
    }

    [step] = await client.bulk_jobs(BulkAction.CANCEL, filter=text, dry_run=True).all()

    assert set(step.sample) == {ids[name] for name in matches}


@pytest.mark.parametrize(
    "text",
    [
        "queue",
        "queue =",
        "queue = a or kind = k",
        "queue = a and",
        "size = 1",
        "queue < a",
        "queue = (a)",
        "queue in a",
        "queue in ()",
        "queue in (a",
        "queue in (a kind",
        "queue not = a",
        'queue = "a b"',
        'queue = "a',
        "state = lost",
        "created = 2020-01-01T00:00:00Z",
        "created < yesterday",
        "parent != " + UNKNOWN,
        "parent = 1",
        "label. = 1",
        "label.x > 1",
        "; drop",
        "kind in (" + ", ".join(["k"] * 101) + ")",
        " and ".join(["kind = k"] * 33),
        "kind = k and " * 400,
    ],
)
async def test_what_is_no_filter_is_refused(client: AsyncClient, text: str) -> None:
    asked = client.bulk_jobs(BulkAction.CANCEL, filter=text, dry_run=True).all()

    assert await refusal(asked) == (InvalidArgumentError, "INVALID_FIELD", ("expression",))

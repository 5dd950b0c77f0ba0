"""Progress and checkpoints of running attempts."""

import pytest
from protojobs_service.domain.job import Handle, Lease, Progress
from protojobs_service.domain.outcome import Fail, Release
from protojobs_service.port import Driver, News

from tests.contract.acts import (
    ERROR,
    EXACT,
    SECOND,
    Worker,
    connect,
    held,
    new_id,
    reconnect,
    record,
    run,
    settle_well,
    skip,
    snooze,
    store_and_run,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio


async def _news(driver: Driver, worker: Worker, lease: Lease, ratio: float | None = None, checkpoint: bytes | None = None) -> bool:
    progress = None if ratio is None else Progress(ratio=ratio, message=f"at {ratio}", at=await driver.ping())
    [answer] = await driver.jobs.update([News(lease.id, lease.attempt, worker.handle, progress, checkpoint)])
    return answer


async def test_progress_of_a_running_attempt_can_be_read(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)

    taken = [await _news(driver, worker, lease, ratio) for ratio in (0.25, 0.5)]

    assert taken == [True, True]
    progress = (await record(driver, lease.id)).progress
    assert progress is not None
    assert (progress.ratio, progress.message) == (0.5, "at 0.5")


async def test_checkpoint_reaches_the_next_attempt(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await _news(driver, worker, lease, checkpoint=b"\x00half")
    await settle_well(driver, worker, lease, Release())

    assert (await run(driver, worker, lease.id)).checkpoint == b"\x00half"


async def test_checkpoint_and_progress_are_independent(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await _news(driver, worker, lease, 0.5, b"half")

    await _news(driver, worker, lease, checkpoint=b"more")
    await _news(driver, worker, lease, 0.75)

    progress = (await record(driver, lease.id)).progress
    assert progress is not None
    assert progress.ratio == 0.75
    await settle_well(driver, worker, lease, Release())
    assert (await run(driver, worker, lease.id)).checkpoint == b"more"


async def test_checkpoint_of_a_failure_replaces_the_last_one(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, policy=EXACT)
    await _news(driver, worker, lease, checkpoint=b"first")
    await settle_well(driver, worker, lease, Fail(error=ERROR, checkpoint=b"second"))
    await skip(driver, clock, 11 * SECOND)
    await driver.jobs.promote(100)

    assert (await run(driver, worker, lease.id)).checkpoint == b"second"


async def test_checkpoint_stays_over_attempts_that_set_none(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, policy=EXACT)
    await _news(driver, worker, lease, checkpoint=b"kept")
    await settle_well(driver, worker, lease, Fail(error=ERROR))
    await skip(driver, clock, 11 * SECOND)
    await driver.jobs.promote(100)
    second = await run(driver, worker, lease.id)
    await settle_well(driver, worker, second, snooze(1))
    await skip(driver, clock, 2 * SECOND)
    await driver.jobs.promote(100)

    third = await run(driver, worker, lease.id)

    assert (second.checkpoint, third.checkpoint) == (b"kept", b"kept")


async def test_next_attempt_starts_without_progress(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await _news(driver, worker, lease, 0.5)
    await settle_well(driver, worker, lease, Release())
    await run(driver, worker, lease.id)

    assert (await record(driver, lease.id)).progress is None


async def test_only_the_session_that_has_the_lease_is_heard(driver: Driver) -> None:
    worker, other = await connect(driver), await connect(driver)
    lease = await store_and_run(driver, worker)
    ended = await store_and_run(driver, other)
    await settle_well(driver, other, ended)
    progress = Progress(ratio=0.5, message="", at=await driver.ping())

    answers = await driver.jobs.update(
        [
            News(lease.id, 1, other.handle, progress, b"x"),
            News(lease.id, 2, worker.handle, progress, b"x"),
            News(lease.id, 1, Handle(worker.handle + 1000), progress, b"x"),
            News(ended.id, 1, other.handle, progress, b"x"),
            News(new_id(), 1, worker.handle, progress, b"x"),
        ]
    )

    assert list(answers) == [False] * 5
    assert (await record(driver, lease.id)).progress is None
    await settle_well(driver, worker, lease, Release())
    assert (await run(driver, worker, lease.id)).checkpoint is None


async def test_moved_lease_is_updated_by_its_new_stream(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    resumed, _ = await reconnect(driver, worker, [held(lease)])

    assert await _news(driver, resumed, lease, 0.5)


async def test_answers_stand_by_place(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    items = [News(job_id, 1, worker.handle, None, b"x") for job_id in (new_id(), lease.id, new_id())]

    assert list(await driver.jobs.update(items)) == [False, True, False]

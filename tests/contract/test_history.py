"""What queues remember of attempts, and how long results are kept that were asked to be kept for less."""

from dataclasses import replace
from datetime import timedelta

import pytest
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.outcome import Complete, Fail
from protojobs_service.domain.queue import History
from protojobs_service.domain.retry import Jitter, Policy
from protojobs_service.port import Driver, Retake

from tests.canaries import BODY
from tests.contract.acts import (
    ERROR,
    FAIL_FOR_GOOD,
    MINUTE,
    SECOND,
    Worker,
    claim,
    connect,
    new_job,
    settle_well,
    store,
    store_all,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio

HOUR = timedelta(hours=1)
AT_ONCE = Policy(initial_backoff=SECOND, jitter=Jitter.NONE)


async def _remember(driver: Driver, history: History, queue: str = "q") -> None:
    await driver.queues.change(queue, lambda old: replace(old, history=history))


async def _fail_once(driver: Driver, clock: Clock, worker: Worker) -> JobId:
    """Let a job fail, and be ready again."""
    job_id = await store(driver, policy=AT_ONCE)
    [lease] = await claim(driver, worker)
    await settle_well(driver, worker, lease, Fail(error=ERROR, checkpoint=b"half"))
    await clock.advance(2 * SECOND)
    assert await driver.jobs.promote(10) == 1
    return job_id


async def _codes(driver: Driver, job_id: JobId) -> list[tuple[Code | None, bool]]:
    """Return the outcome of each attempt that is kept, and whether its error is."""
    attempts = await driver.jobs.attempts(job_id)
    return [(each.outcome, each.error is not None) for each in attempts or ()]


KEPT = [
    (History.ALL, [(Code.RETRIED, True), (Code.COMPLETED, False)], b"r", 1, 0),
    (History.FAILURES, [(Code.RETRIED, True), (Code.COMPLETED, False)], None, 1, 1),
    (History.NONE, [(Code.COMPLETED, False)], None, 0, 1),
]


@pytest.mark.parametrize(("history", "attempts", "result", "failures", "pruned"), KEPT, ids=[each[0].name for each in KEPT])
async def test_completed_job_keeps_what_its_queue_remembers(
    driver: Driver,
    clock: Clock,
    history: History,
    attempts: list[tuple[Code, bool]],
    result: bytes | None,
    failures: int,
    pruned: int,
) -> None:
    await _remember(driver, history)
    worker = await connect(driver)
    job_id = await _fail_once(driver, clock, worker)
    [lease] = await claim(driver, worker)
    await settle_well(driver, worker, lease, Complete(result=b"r"))

    await clock.advance(59 * MINUTE)
    early = await driver.jobs.prune(100)
    [before] = await driver.jobs.get([job_id])
    await clock.advance(2 * MINUTE)
    late = [await driver.jobs.prune(100) for _ in range(2)]

    assert (early, late) == (0, [pruned, 0])
    assert before is not None
    assert (before.result, before.failures) == (b"r", 1)
    [after] = await driver.jobs.get([job_id])
    assert after is not None
    assert (after.state, after.attempt, after.result, after.failures) == (State.COMPLETED, 2, result, failures)
    assert after.envelope == job_id + BODY
    assert (after.finished_at, after.worker) == (before.finished_at, before.worker)
    assert await _codes(driver, job_id) == attempts


@pytest.mark.parametrize(
    ("history", "attempts"),
    [(History.FAILURES, [(Code.RETRIED, True), (Code.FAILED, True)]), (History.NONE, [(Code.FAILED, False)])],
    ids=["FAILURES", "NONE"],
)
async def test_failed_job_keeps_its_errors_only_where_failures_are_remembered(
    driver: Driver, clock: Clock, history: History, attempts: list[tuple[Code, bool]]
) -> None:
    await _remember(driver, history)
    worker = await connect(driver)
    job_id = await _fail_once(driver, clock, worker)
    [lease] = await claim(driver, worker)
    await settle_well(driver, worker, lease, FAIL_FOR_GOOD)
    await clock.advance(61 * MINUTE)

    await driver.jobs.prune(100)

    [found] = await driver.jobs.get([job_id])
    assert found is not None
    assert (found.state, found.failures) == (State.FAILED, len(attempts))
    assert found.last_error == (ERROR if history is History.FAILURES else None)
    assert await _codes(driver, job_id) == attempts
    assert await driver.queues.reconcile() == 0


async def test_job_that_is_not_final_keeps_everything(driver: Driver, clock: Clock) -> None:
    await _remember(driver, History.NONE)
    worker = await connect(driver)
    job_id = await _fail_once(driver, clock, worker)
    await clock.advance(2 * HOUR)

    assert await driver.jobs.prune(100) == 0

    assert await _codes(driver, job_id) == [(Code.RETRIED, True)]


@pytest.mark.parametrize("history", [History.FAILURES, History.NONE])
async def test_forgotten_attempts_do_not_hinder_a_retry_which_has_the_checkpoint(
    driver: Driver, clock: Clock, history: History
) -> None:
    await _remember(driver, history)
    worker = await connect(driver)
    job_id = await _fail_once(driver, clock, worker)
    [lease] = await claim(driver, worker)
    await settle_well(driver, worker, lease, Complete(result=b"r"))
    await clock.advance(61 * MINUTE)
    await driver.jobs.prune(100)

    answers = [(await driver.jobs.retake([Retake(id=job_id, expected_attempt=2)]))[0] for _ in range(2)]
    [again] = await claim(driver, await connect(driver))

    assert [answer.already for answer in answers] == [False, True]
    assert (again.attempt, again.checkpoint, again.envelope) == (3, b"half", job_id + BODY)


async def test_completion_that_was_retried_is_forgotten_where_failures_are_remembered(driver: Driver, clock: Clock) -> None:
    await _remember(driver, History.FAILURES)
    worker = await connect(driver)
    job_id = await store(driver)
    for outcome in (Complete(result=b"1"), FAIL_FOR_GOOD):
        [lease] = await claim(driver, worker)
        await settle_well(driver, worker, lease, outcome)
        if isinstance(outcome, Complete):
            await driver.jobs.retake([Retake(id=job_id)])
    await clock.advance(61 * MINUTE)

    assert [await driver.jobs.prune(100) for _ in range(2)] == [1, 0]

    assert await _codes(driver, job_id) == [(Code.FAILED, True)]


async def test_other_queues_remember_everything(driver: Driver, clock: Clock) -> None:
    await _remember(driver, History.NONE, "other")
    worker = await connect(driver, "q", "other")
    jobs = await store_all(driver, [new_job("q"), new_job("other")])
    for lease in await claim(driver, worker):
        await settle_well(driver, worker, lease, Complete(result=b"r"))
    await clock.advance(61 * MINUTE)

    await driver.jobs.prune(100)

    found = await driver.jobs.get(jobs)
    assert [job and job.result for job in found] == [b"r", None]


async def test_result_goes_when_its_own_retention_is_over(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    jobs = await store_all(driver, [new_job(result_retention=MINUTE), new_job(result_retention=HOUR), new_job()])
    for lease in await claim(driver, worker):
        await settle_well(driver, worker, lease, Complete(result=b"r"))
    await clock.advance(59 * SECOND)
    early = await driver.jobs.prune(100)
    await clock.advance(2 * SECOND)

    late = [await driver.jobs.prune(100) for _ in range(2)]

    assert (early, late) == (0, [1, 0])
    found = await driver.jobs.get(jobs)
    assert [job and (job.state, job.result) for job in found] == [
        (State.COMPLETED, None),
        (State.COMPLETED, b"r"),
        (State.COMPLETED, b"r"),
    ]
    assert all(job and job.envelope for job in found)


async def test_results_are_dropped_in_bounded_steps_also_of_jobs_that_run_again(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    jobs = await store_all(driver, [new_job(result_retention=MINUTE) for _ in range(3)])
    for _ in range(2):
        for lease in await claim(driver, worker):
            await settle_well(driver, worker, lease, Complete(result=b"r"))
        await clock.advance(2 * MINUTE)

        assert [await driver.jobs.prune(2) for _ in range(3)] == [2, 1, 0]

        assert [job and job.result for job in await driver.jobs.get(jobs)] == [None] * 3
        await driver.jobs.retake([Retake(id=job_id) for job_id in jobs])

"""When a failed job runs again, and when it does not."""

from dataclasses import replace
from datetime import timedelta

import pytest
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.outcome import Fail, JobError, Outcome
from protojobs_service.domain.retry import Jitter, Policy
from protojobs_service.port import Driver, Settled

from tests.contract.acts import (
    ERROR,
    EXACT,
    FAIL,
    MINUTE,
    SECOND,
    Span,
    Worker,
    claim,
    connect,
    during,
    outcomes_of,
    record,
    retake,
    run,
    settle,
    settle_well,
    skip,
    snooze,
    state_of,
    store,
    store_and_run,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio


async def _fail(driver: Driver, worker: Worker, job_id: JobId, outcome: Outcome = FAIL) -> tuple[Settled, Span]:
    """Lease the job and let it fail."""
    lease = await run(driver, worker, job_id)
    return await during(driver, settle(driver, worker, lease, outcome))


async def _wait_for(driver: Driver, clock: Clock, worker: Worker, span: timedelta) -> None:
    await skip(driver, clock, span)
    await driver.jobs.promote(100)


async def test_failed_attempt_waits_for_its_backoff(driver: Driver) -> None:
    worker = await connect(driver)
    job_id = await store(driver, policy=EXACT)

    settled, span = await _fail(driver, worker, job_id)

    assert settled.state is State.RETRYING
    assert span.holds(settled.next_at, plus=10 * SECOND)
    found = await record(driver, job_id)
    assert (found.state, found.next_at, found.failures, found.crashes) == (State.RETRYING, settled.next_at, 1, 0)
    assert (found.last_error, found.finished_at) == (ERROR, None)
    assert await outcomes_of(driver, job_id) == [(1, Code.RETRIED)]


async def test_backoff_grows_up_to_its_bound_and_the_last_failure_ends_the_job(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    job_id = await store(driver, policy=replace(EXACT, max_retries=4))
    answers: list[Settled] = []

    for seconds in (10, 30, 60, 60):
        settled, span = await _fail(driver, worker, job_id)
        assert span.holds(settled.next_at, plus=seconds * SECOND)
        answers.append(settled)
        await _wait_for(driver, clock, worker, (seconds + 1) * SECOND)
    settled, _ = await _fail(driver, worker, job_id)

    assert [answer.state for answer in answers] == [State.RETRYING] * 4
    assert (settled.state, settled.next_at) == (State.FAILED, None)
    assert (await record(driver, job_id)).failures == 5
    assert await outcomes_of(driver, job_id) == [*((n, Code.RETRIED) for n in (1, 2, 3, 4)), (5, Code.FAILED)]


async def test_job_without_retries_fails_at_once(driver: Driver) -> None:
    worker = await connect(driver)
    job_id = await store(driver, policy=Policy(max_retries=0))

    settled, _ = await _fail(driver, worker, job_id)

    assert settled.state is State.FAILED


async def test_default_policy_retries_within_a_minute(driver: Driver) -> None:
    worker = await connect(driver)
    job_id = await store(driver)

    settled, span = await _fail(driver, worker, job_id)

    assert settled.state is State.RETRYING
    assert settled.next_at is not None
    assert span.first + SECOND <= settled.next_at <= span.last + MINUTE


async def test_full_jitter_spreads_what_fails_together(driver: Driver) -> None:
    worker = await connect(driver)
    policy = Policy(initial_backoff=timedelta(hours=1), jitter=Jitter.FULL)
    spread: set[int] = set()

    for _ in range(10):
        settled, span = await _fail(driver, worker, await store(driver, policy=policy))
        assert settled.next_at is not None
        assert span.first + SECOND <= settled.next_at <= span.last + timedelta(hours=1)
        spread.add(round((settled.next_at - span.first) / SECOND))

    assert len(spread) > 5


async def test_handler_may_say_when_to_retry(driver: Driver) -> None:
    worker = await connect(driver)
    job_id = await store(driver, policy=EXACT)

    settled, span = await _fail(driver, worker, job_id, Fail(error=ERROR, retry_after=timedelta(seconds=77)))

    assert settled.state is State.RETRYING
    assert span.holds(settled.next_at, plus=77 * SECOND)


async def test_handler_can_stop_retries_but_not_add_any(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    stopped = await store(driver, policy=EXACT)
    used_up = await store(driver, policy=replace(EXACT, max_retries=0))

    by_handler, _ = await _fail(driver, worker, stopped, Fail(error=ERROR, retryable=False, retry_after=SECOND))
    by_policy, _ = await _fail(driver, worker, used_up, Fail(error=ERROR, retry_after=SECOND))

    assert [by_handler.state, by_policy.state] == [State.FAILED, State.FAILED]


async def test_no_retry_starts_after_the_longest_retry_time(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    job_id = await store(driver, policy=replace(EXACT, max_retry_duration=timedelta(seconds=35)))
    first, _ = await _fail(driver, worker, job_id)
    await _wait_for(driver, clock, worker, 11 * SECOND)

    second, _ = await _fail(driver, worker, job_id)

    assert [first.state, second.state] == [State.RETRYING, State.FAILED]
    assert (await record(driver, job_id)).failures == 2


async def test_longest_retry_time_counts_from_the_last_retry_by_hand(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    job_id = await store(driver, policy=replace(EXACT, max_retry_duration=timedelta(seconds=35)))
    await _fail(driver, worker, job_id, Fail(error=ERROR, retryable=False))
    await skip(driver, clock, MINUTE)
    await retake(driver, job_id)

    settled, _ = await _fail(driver, worker, job_id)

    assert settled.state is State.RETRYING


async def test_retrying_job_is_pending_only_when_it_is_due(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    job_id = await store(driver, policy=EXACT)
    await _fail(driver, worker, job_id)

    await _wait_for(driver, clock, worker, 8 * SECOND)
    early = await claim(driver, worker)
    await _wait_for(driver, clock, worker, 3 * SECOND)
    late = await claim(driver, worker)

    assert (list(early), [lease.id for lease in late]) == ([], [job_id])


async def test_last_error_stays_when_a_later_attempt_has_none(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, policy=replace(EXACT, initial_backoff=timedelta()))
    await settle_well(driver, worker, lease, FAIL)
    await driver.jobs.promote(100)

    again = await run(driver, worker, lease.id)
    await settle_well(driver, worker, again, snooze(60))

    assert (await record(driver, lease.id)).last_error == ERROR


async def test_each_attempt_keeps_its_own_error(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    job_id = await store(driver, policy=EXACT)
    errors = [JobError(type=f"E{n}", message="m" * 4096, stack="s" * 16384) for n in range(2)]

    for error in errors:
        await _fail(driver, worker, job_id, Fail(error=error))
        await _wait_for(driver, clock, worker, 31 * SECOND)

    attempts = await driver.jobs.attempts(job_id)
    assert attempts is not None
    assert [attempt.error for attempt in attempts] == errors
    assert (await record(driver, job_id)).last_error == errors[1]


async def test_snooze_and_release_are_no_failures(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    job_id = await store(driver, policy=replace(EXACT, max_retries=1))
    await _fail(driver, worker, job_id)
    await _wait_for(driver, clock, worker, 11 * SECOND)
    await _fail(driver, worker, job_id, snooze(1))
    await _wait_for(driver, clock, worker, 2 * SECOND)

    assert (await record(driver, job_id)).failures == 1
    await _fail(driver, worker, job_id)

    assert await state_of(driver, job_id) is State.FAILED

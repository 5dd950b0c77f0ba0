"""Retry by hand: final jobs live again, waiting ones run now."""

import asyncio

import pytest
from protojobs_service.domain.lifecycle import FINAL_STATES, Code, State
from protojobs_service.domain.outcome import Complete, Fail, Release
from protojobs_service.port import Driver, Retake

from tests.canaries import BODY
from tests.contract.acts import (
    ERROR,
    EXACT,
    FAIL_FOR_GOOD,
    MINUTE,
    SECOND,
    claim,
    connect,
    new_id,
    outcomes_of,
    put_in,
    record,
    retake,
    run,
    settle_well,
    state_of,
    store,
    store_and_run,
)
from tests.contract.backends import Clock, FakeRoom

pytestmark = pytest.mark.asyncio

FINAL = [state for state in State if state in FINAL_STATES]
TAKEN_BACK = {
    State.COMPLETED: Code.COMPLETED_RETRIED,
    State.FAILED: Code.FAILED_RETRIED,
    State.CANCELLED: Code.CANCELLED_RETRIED,
    State.EXPIRED: Code.EXPIRED_RETRIED,
}


@pytest.mark.parametrize("state", FINAL)
async def test_final_job_is_pending_again_and_its_end_is_taken_back(
    driver: Driver, clock: Clock, room: FakeRoom, state: State
) -> None:
    job_id = await put_in(driver, clock, state)
    before = await record(driver, job_id)
    room.arrivals.clear()

    result = await retake(driver, job_id)

    assert result == (State.PENDING, False, False)
    assert room.told == {"q"}
    found = await record(driver, job_id)
    assert (found.state, found.attempt, found.failures, found.crashes) == (State.PENDING, before.attempt, 0, 0)
    assert (found.finished_at, found.result, found.reason) == (None, None, "")
    assert await outcomes_of(driver, job_id) == [(before.attempt, TAKEN_BACK[state])]
    assert (await run(driver, await connect(driver), job_id)).attempt == before.attempt + 1


async def test_retaken_job_may_end_again_and_has_one_final_outcome(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await settle_well(driver, worker, lease, FAIL_FOR_GOOD)
    for _ in range(2):
        await retake(driver, lease.id)
        again = await run(driver, worker, lease.id)
        await settle_well(driver, worker, again, FAIL_FOR_GOOD)
    await retake(driver, lease.id)
    last = await run(driver, worker, lease.id)

    await settle_well(driver, worker, last, Complete(result=b"r"))

    expected = [(1, Code.FAILED_RETRIED), (2, Code.FAILED_RETRIED), (3, Code.FAILED_RETRIED), (4, Code.COMPLETED)]
    assert await outcomes_of(driver, lease.id) == expected
    found = await record(driver, lease.id)
    assert (found.state, found.failures, found.result) == (State.COMPLETED, 0, b"r")


async def test_failures_count_anew_after_a_retry_by_hand(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, policy=EXACT)
    await settle_well(driver, worker, lease, FAIL_FOR_GOOD)
    await retake(driver, lease.id)

    again = await run(driver, worker, lease.id)
    settled = await settle_well(driver, worker, again, Fail(error=ERROR))

    assert (again.failures, settled.state) == (0, State.RETRYING)
    assert (await record(driver, lease.id)).failures == 1


async def test_retry_for_a_later_time_is_scheduled(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.FAILED)
    run_at = await driver.ping() + MINUTE

    result = await retake(driver, job_id, run_at=run_at)

    assert result == (State.SCHEDULED, False, False)
    found = await record(driver, job_id)
    assert (found.state, found.next_at) == (State.SCHEDULED, run_at)


async def test_retry_for_a_time_that_is_over_runs_at_once(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.FAILED)

    result = await retake(driver, job_id, run_at=await driver.ping() - MINUTE)

    assert result == (State.PENDING, False, False)


async def test_new_payload_reaches_the_worker(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.FAILED)

    await retake(driver, job_id, envelope=job_id + b"edited")

    assert (await record(driver, job_id)).envelope == job_id + b"edited"
    assert (await run(driver, await connect(driver), job_id)).envelope == job_id + b"edited"


async def test_payload_stays_where_no_new_one_is_given(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.FAILED)

    await retake(driver, job_id)

    assert (await run(driver, await connect(driver), job_id)).envelope == job_id + BODY


async def test_repeat_with_the_expected_attempt_changes_nothing(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.FAILED)

    first = await retake(driver, job_id, expected_attempt=1)
    while_pending = await retake(driver, job_id, expected_attempt=1)
    worker = await connect(driver)
    lease = await run(driver, worker, job_id)
    while_running = await retake(driver, job_id, expected_attempt=1)
    await settle_well(driver, worker, lease)
    when_done = await retake(driver, job_id, expected_attempt=1)

    assert first == (State.PENDING, False, False)
    assert while_pending == (State.PENDING, True, False)
    assert while_running == (State.RUNNING, True, False)
    assert when_done == (State.COMPLETED, True, False)
    assert await outcomes_of(driver, job_id) == [(1, Code.FAILED_RETRIED), (2, Code.COMPLETED)]


async def test_repeat_does_not_hurry_a_retry_for_later(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.FAILED)
    run_at = await driver.ping() + MINUTE
    await retake(driver, job_id, expected_attempt=1, run_at=run_at)

    result = await retake(driver, job_id, expected_attempt=1)

    assert result == (State.SCHEDULED, True, False)
    assert (await record(driver, job_id)).next_at == run_at


async def test_concurrent_retries_of_one_attempt_happen_once(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.FAILED)

    results = await asyncio.gather(*(retake(driver, job_id, expected_attempt=1) for _ in range(10)))

    assert sorted(already for _, already, _ in results) == [False] + [True] * 9
    assert len(await claim(driver, await connect(driver))) == 1


@pytest.mark.parametrize("state", [State.PENDING, State.RUNNING])
async def test_pending_and_running_jobs_are_refused(driver: Driver, clock: Clock, state: State) -> None:
    job_id = await put_in(driver, clock, state)
    before = await record(driver, job_id)

    result = await retake(driver, job_id)

    assert result == (state, False, True)
    assert await record(driver, job_id) == before


async def test_attempt_that_was_not_reached_yet_is_refused(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.FAILED)

    result = await retake(driver, job_id, expected_attempt=7)

    assert result == (State.FAILED, False, True)


@pytest.mark.parametrize("state", [State.SCHEDULED, State.RETRYING])
async def test_waiting_job_runs_now_with_its_counters(driver: Driver, clock: Clock, room: FakeRoom, state: State) -> None:
    job_id = await put_in(driver, clock, state)
    before = await record(driver, job_id)
    room.arrivals.clear()

    result = await retake(driver, job_id)

    assert result == (State.PENDING, False, False)
    assert room.told == {"q"}
    lease = await run(driver, await connect(driver), job_id)
    assert (lease.attempt, lease.failures) == (before.attempt + 1, before.failures)


async def test_waiting_job_runs_now_where_its_last_attempt_is_expected(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.RETRYING)

    result = await retake(driver, job_id, expected_attempt=1)

    assert result == (State.PENDING, False, False)


async def test_waiting_job_may_be_put_off(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.SCHEDULED)
    run_at = await driver.ping() + 10 * MINUTE

    result = await retake(driver, job_id, run_at=run_at, envelope=job_id + b"edited")

    assert result == (State.SCHEDULED, False, False)
    found = await record(driver, job_id)
    assert (found.next_at, found.envelope) == (run_at, job_id + b"edited")


async def test_job_that_was_put_off_does_not_come_at_its_old_time(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.SCHEDULED)
    await retake(driver, job_id, run_at=await driver.ping() + 10 * MINUTE)
    await clock.advance(2 * MINUTE)

    assert await driver.jobs.promote(100) == 0
    assert await state_of(driver, job_id) is State.SCHEDULED


async def test_unknown_and_deleted_jobs_are_not_found(driver: Driver, clock: Clock) -> None:
    deleted = await put_in(driver, clock, State.FAILED)
    await driver.jobs.delete([deleted])

    results = await driver.jobs.retake([Retake(id=new_id()), Retake(id=deleted)])

    assert [(result.found, result.state) for result in results] == [(False, None)] * 2


async def test_answers_stand_by_place(driver: Driver, clock: Clock) -> None:
    failed = await put_in(driver, clock, State.FAILED)
    pending = await store(driver)

    results = await driver.jobs.retake([Retake(id=pending), Retake(id=new_id()), Retake(id=failed)])

    assert [(result.found, result.refused) for result in results] == [(True, True), (False, False), (True, False)]


async def test_retaken_job_comes_after_all_that_wait(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.FAILED)
    waiting = await store(driver)
    await retake(driver, job_id)

    leases = await claim(driver, await connect(driver))

    assert [lease.id for lease in leases] == [waiting, job_id]


async def test_old_deadline_is_gone(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.EXPIRED)
    await retake(driver, job_id)

    assert await driver.jobs.expire(100) == 0

    assert (await record(driver, job_id)).expire_at is None
    assert await state_of(driver, job_id) is State.PENDING


async def test_new_deadline_counts(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.FAILED)
    await retake(driver, job_id, expire_at=await driver.ping() + 10 * SECOND)
    await clock.advance(11 * SECOND)

    assert await driver.jobs.expire(100) == 1

    assert await state_of(driver, job_id) is State.EXPIRED
    assert await outcomes_of(driver, job_id) == [(1, Code.FAILED_RETRIED), (2, Code.EXPIRED)]


async def test_completed_job_gives_its_old_result_up(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await settle_well(driver, worker, lease, Complete(result=b"old"))
    await retake(driver, lease.id)

    again = await run(driver, worker, lease.id)
    await settle_well(driver, worker, again)

    assert (await record(driver, lease.id)).result is None


async def test_returns_count_anew_after_a_retry_by_hand(driver: Driver) -> None:
    worker = await connect(driver)
    job_id = await store(driver)
    for _ in range(2):
        await settle_well(driver, worker, await run(driver, worker, job_id), Release())
    await driver.jobs.cancel([job_id], MINUTE)
    await retake(driver, job_id)

    settled = [await settle_well(driver, worker, await run(driver, worker, job_id), Release()) for _ in range(2)]

    assert [each.state for each in settled] == [State.PENDING, State.PENDING]


async def test_waiting_job_that_runs_now_keeps_its_returns(driver: Driver) -> None:
    worker = await connect(driver)
    job_id = await store(driver)
    for _ in range(3):
        await settle_well(driver, worker, await run(driver, worker, job_id), Release())
    await retake(driver, job_id)

    settled = await settle_well(driver, worker, await run(driver, worker, job_id), Release())

    assert settled.state is State.SCHEDULED

"""Cancelling: at once what waits, by its worker what runs."""

import asyncio
from datetime import timedelta

import pytest
from protojobs_service.domain.lifecycle import WAITING_STATES, Code, State
from protojobs_service.domain.outcome import COMPLETE, Outcome, Release
from protojobs_service.port import Driver

from tests.contract.acts import (
    FAIL,
    FAIL_FOR_GOOD,
    MINUTE,
    SECOND,
    claim,
    connect,
    held,
    new_id,
    new_job,
    outcomes_of,
    put_in,
    reconnect,
    record,
    retake,
    run,
    settle,
    settle_well,
    skip,
    snooze,
    state_of,
    states_of,
    store,
    store_all,
    store_and_run,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio

WAITING = [state for state in State if state in WAITING_STATES]


@pytest.mark.parametrize("state", WAITING)
async def test_waiting_job_ends_at_once_under_the_next_attempt(driver: Driver, clock: Clock, state: State) -> None:
    job_id = await put_in(driver, clock, state)
    before = await record(driver, job_id)

    [result] = await driver.jobs.cancel([job_id], MINUTE)

    assert result == (True, State.CANCELLED)
    found = await record(driver, job_id)
    assert (found.state, found.attempt, found.next_at) == (State.CANCELLED, before.attempt + 1, None)
    assert found.finished_at is not None
    attempts = await driver.jobs.attempts(job_id)
    assert attempts is not None
    last = attempts[-1]
    assert (last.attempt, last.outcome, last.worker, last.started_at) == (found.attempt, Code.CANCELLED, "", None)


@pytest.mark.parametrize("state", WAITING)
async def test_cancelled_job_never_runs(driver: Driver, clock: Clock, state: State) -> None:
    job_id = await put_in(driver, clock, state)
    await driver.jobs.cancel([job_id], MINUTE)
    await clock.advance(10 * MINUTE)
    await driver.jobs.promote(100)

    assert await claim(driver, await connect(driver)) == []
    assert await state_of(driver, job_id) is State.CANCELLED


async def test_running_job_is_asked_to_stop(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    before = await driver.ping()

    [result] = await driver.jobs.cancel([lease.id], MINUTE)

    assert result == (True, State.RUNNING)
    found = await record(driver, lease.id)
    assert (found.state, found.attempt, found.cancel_requested) == (State.RUNNING, 1, True)
    [request] = await driver.sessions.cancel_requests([worker.handle])
    assert (request.handle, request.id, request.attempt) == (worker.handle, lease.id, 1)
    assert MINUTE - (await driver.ping() - before) <= request.remaining <= MINUTE


async def test_request_tells_how_long_is_left_until_it_is_over(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await driver.jobs.cancel([lease.id], 2 * MINUTE)

    await skip(driver, clock, MINUTE)
    [soon] = await driver.sessions.cancel_requests([worker.handle])
    await skip(driver, clock, MINUTE + SECOND)
    [over] = await driver.sessions.cancel_requests([worker.handle])

    assert timedelta() < soon.remaining <= MINUTE
    assert over.remaining < timedelta()


async def test_only_requests_of_the_named_handles_are_told(driver: Driver) -> None:
    worker, other = await connect(driver), await connect(driver)
    ids = await store_all(driver, [new_job(), new_job()])
    [lease], _ = await claim(driver, worker, limit=1), await claim(driver, other, limit=1)
    await driver.jobs.cancel(ids, MINUTE)

    requests = await driver.sessions.cancel_requests([worker.handle])

    assert [request.id for request in requests] == [lease.id]
    assert len(await driver.sessions.cancel_requests([worker.handle, other.handle])) == 2
    assert list(await driver.sessions.cancel_requests([])) == []


async def test_request_follows_the_lease_to_the_next_stream(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await driver.jobs.cancel([lease.id], MINUTE)

    resumed, _ = await reconnect(driver, worker, [held(lease)])

    [request] = await driver.sessions.cancel_requests([worker.handle, resumed.handle])
    assert (request.handle, request.id) == (resumed.handle, lease.id)


async def test_completion_wins_over_a_cancel(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await driver.jobs.cancel([lease.id], MINUTE)

    settled = await settle(driver, worker, lease, COMPLETE)

    assert settled.state is State.COMPLETED
    assert await state_of(driver, lease.id) is State.COMPLETED
    assert list(await driver.sessions.cancel_requests([worker.handle])) == []


@pytest.mark.parametrize("outcome", [FAIL, FAIL_FOR_GOOD, snooze(60), Release()], ids=["fail", "for good", "snooze", "release"])
async def test_any_other_outcome_after_a_cancel_ends_as_cancelled(driver: Driver, outcome: Outcome) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await driver.jobs.cancel([lease.id], MINUTE)

    settled = await settle(driver, worker, lease, outcome)

    assert (settled.state, settled.next_at) == (State.CANCELLED, None)
    found = await record(driver, lease.id)
    assert (found.state, found.reason, found.cancel_requested) == (State.CANCELLED, "CANCELLED", False)
    assert await outcomes_of(driver, lease.id) == [(1, Code.CANCELLED)]


async def test_lease_that_a_resume_gives_back_ends_as_cancelled(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await driver.jobs.cancel([lease.id], MINUTE)

    await reconnect(driver, worker)

    assert await state_of(driver, lease.id) is State.CANCELLED


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CANCELLED, State.EXPIRED])
async def test_final_job_stays_as_it_is(driver: Driver, clock: Clock, state: State) -> None:
    job_id = await put_in(driver, clock, state)
    before = await record(driver, job_id)

    [result] = await driver.jobs.cancel([job_id], MINUTE)

    assert result == (True, state)
    assert await record(driver, job_id) == before


async def test_unknown_and_deleted_jobs_are_not_found(driver: Driver) -> None:
    deleted = await store(driver)
    await driver.jobs.delete([deleted])

    assert await driver.jobs.cancel([new_id(), deleted], MINUTE) == [(False, None)] * 2


async def test_answers_stand_by_place_also_for_an_id_named_twice(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    waiting = await store(driver)

    results = await driver.jobs.cancel([waiting, new_id(), lease.id, waiting], MINUTE)

    assert results == [(True, State.CANCELLED), (False, None), (True, State.RUNNING), (True, State.CANCELLED)]
    assert await outcomes_of(driver, waiting) == [(1, Code.CANCELLED)]


async def test_repeated_cancel_gives_no_more_time(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await driver.jobs.cancel([lease.id], 10 * SECOND)

    await driver.jobs.cancel([lease.id], timedelta(hours=1))

    [request] = await driver.sessions.cancel_requests([worker.handle])
    assert request.remaining <= 10 * SECOND


async def test_next_life_of_a_job_knows_nothing_of_an_old_request(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await driver.jobs.cancel([lease.id], MINUTE)
    await settle_well(driver, worker, lease, FAIL)
    await retake(driver, lease.id)

    again = await run(driver, worker, lease.id)

    assert not (await record(driver, lease.id)).cancel_requested
    assert list(await driver.sessions.cancel_requests([worker.handle])) == []
    assert (await settle(driver, worker, again, Release())).state is State.PENDING


async def test_cancel_that_races_with_a_claim_ends_or_asks(driver: Driver) -> None:
    worker = await connect(driver)
    ids = await store_all(driver, [new_job() for _ in range(20)])

    results, leases = await asyncio.gather(driver.jobs.cancel(ids, MINUTE), claim(driver, worker))

    leased = {lease.id for lease in leases}
    expected = [State.RUNNING if job_id in leased else State.CANCELLED for job_id in ids]
    assert [result.state for result in results] == expected
    assert await states_of(driver, ids) == expected
    assert {request.id for request in await driver.sessions.cancel_requests([worker.handle])} == leased

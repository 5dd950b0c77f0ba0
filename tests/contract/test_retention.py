"""What is kept of finished jobs, and for how long."""

from dataclasses import replace
from datetime import timedelta

import pytest
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import Complete
from protojobs_service.domain.queue import Retention
from protojobs_service.port import Driver, ListQuery, Retake

from tests.canaries import BODY
from tests.contract.acts import (
    DAY,
    MINUTE,
    claim,
    connect,
    new_job,
    numbers_of,
    put_in,
    settle_well,
    states_of,
    store_all,
    store_and_run,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio

SHORT = Retention(completed=MINUTE, failed=MINUTE, cancelled=MINUTE)


async def _days_pass(driver: Driver, clock: Clock, days: int) -> None:
    """Let days go by with the upkeep that they bring."""
    for _ in range(days):
        await clock.advance(DAY)
        await driver.maintain()
    while await driver.jobs.prune(100):
        pass


@pytest.mark.parametrize(("state", "days"), [(State.COMPLETED, 7), (State.CANCELLED, 7), (State.FAILED, 30), (State.EXPIRED, 30)])
async def test_finished_job_is_kept_as_long_as_its_queue_says_and_no_longer(
    driver: Driver, clock: Clock, state: State, days: int
) -> None:
    job_id = await put_in(driver, clock, state)

    await _days_pass(driver, clock, days - 1)
    kept = await states_of(driver, [job_id])
    await _days_pass(driver, clock, 3)

    assert kept == [state]
    assert await states_of(driver, [job_id]) == [None]
    assert await driver.jobs.attempts(job_id) is None
    assert list((await driver.jobs.list(ListQuery())).jobs) == []
    assert sum((await numbers_of(driver)).counts.values()) == 0
    assert await driver.queues.reconcile() == 0


@pytest.mark.parametrize("state", [State.SCHEDULED, State.PENDING, State.RETRYING, State.RUNNING])
async def test_unfinished_job_is_kept_whatever_its_age(driver: Driver, clock: Clock, state: State) -> None:
    job_id = await put_in(driver, clock, state)

    await _days_pass(driver, clock, 40)

    assert await states_of(driver, [job_id]) == [state]


async def test_unfinished_job_of_long_ago_still_runs(driver: Driver, clock: Clock) -> None:
    await put_in(driver, clock, State.SCHEDULED, labels={"a": "1"})
    await _days_pass(driver, clock, 20)
    await driver.jobs.promote(100)
    worker = await connect(driver)

    [lease] = await claim(driver, worker)
    settled = await settle_well(driver, worker, lease, Complete(result=b"r"))

    assert (lease.envelope, settled.state) == (lease.id + BODY, State.COMPLETED)
    [found] = (await driver.jobs.list(ListQuery(labels={"a": "1"}))).jobs
    assert (found.id, found.result) == (lease.id, b"r")


async def test_short_retention_empties_what_an_id_window_still_needs(driver: Driver, clock: Clock) -> None:
    await driver.queues.change("q", lambda old: replace(old, retention=SHORT))
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await settle_well(driver, worker, lease, Complete(result=b"secret"))
    await clock.advance(2 * MINUTE)

    pruned = await driver.jobs.prune(100)

    assert pruned == 1
    [found] = await driver.jobs.get([lease.id])
    assert found is None or (found.state, found.envelope, found.result) == (State.COMPLETED, b"", None)
    assert await driver.jobs.prune(100) == 0


async def test_errors_are_emptied_too(driver: Driver, clock: Clock) -> None:
    await driver.queues.change("q", lambda old: replace(old, retention=SHORT))
    job_id = await put_in(driver, clock, State.FAILED)
    await clock.advance(2 * MINUTE)

    await driver.jobs.prune(100)

    [found] = await driver.jobs.get([job_id])
    assert found is None or (found.envelope, found.last_error) == (b"", None)
    attempts = await driver.jobs.attempts(job_id)
    assert all(attempt.error is None for attempt in attempts or ())


async def test_emptied_job_cannot_be_retried_without_a_payload(driver: Driver, clock: Clock) -> None:
    await driver.queues.change("q", lambda old: replace(old, retention=SHORT))
    job_id = await put_in(driver, clock, State.FAILED)
    await clock.advance(2 * MINUTE)
    await driver.jobs.prune(100)

    [result] = await driver.jobs.retake([Retake(id=job_id)])

    assert not result.found
    assert await claim(driver, await connect(driver)) == []


async def test_pruning_passes_the_ids_that_a_deleted_queue_has_left(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.COMPLETED)
    await driver.queues.delete("q", force=True)

    pruned = await driver.jobs.prune(100)

    assert pruned == 0
    assert await states_of(driver, [job_id]) == [None]


async def test_nothing_is_pruned_before_its_time(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.COMPLETED)
    await clock.advance(6 * DAY)

    assert await driver.jobs.prune(100) == 0

    [found] = await driver.jobs.get([job_id])
    assert found is not None
    assert found.envelope == job_id + BODY


async def test_pruning_is_bounded_and_the_next_call_goes_on(driver: Driver, clock: Clock) -> None:
    await driver.queues.change("q", lambda old: replace(old, retention=SHORT))
    worker = await connect(driver)
    await store_all(driver, [new_job() for _ in range(5)])
    for lease in await claim(driver, worker):
        await settle_well(driver, worker, lease)
    await clock.advance(2 * MINUTE)

    turns = [await driver.jobs.prune(2) for _ in range(4)]

    assert turns == [2, 2, 1, 0]


async def test_longer_retention_keeps_jobs_beyond_the_id_window(driver: Driver, clock: Clock) -> None:
    await driver.queues.change("q", lambda old: replace(old, retention=replace(SHORT, completed=timedelta(days=60))))
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, labels={"a": "1"})
    await settle_well(driver, worker, lease, Complete(result=b"kept"))

    await _days_pass(driver, clock, 40)

    [found] = (await driver.jobs.list(ListQuery(labels={"a": "1"}))).jobs
    assert (found.id, found.state, found.envelope, found.result) == (lease.id, State.COMPLETED, lease.envelope, b"kept")

"""One id is one job, for ever: a retried dispatch is safe whatever has happened since."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.queue import Retention
from protojobs_service.port import Dispatched, DispatchVerdict, Driver

from tests.contract.acts import (
    DAY,
    MINUTE,
    claim,
    connect,
    new_job,
    numbers_of,
    put_in,
    record,
    retake,
    settle_well,
    state_of,
    store,
    store_and_run,
)
from tests.contract.backends import Clock, FakeRoom

pytestmark = pytest.mark.asyncio


async def test_repeated_dispatch_answers_existing_and_changes_nothing(driver: Driver) -> None:
    job = new_job(priority=3, labels={"a": "1"}, delay=MINUTE)
    await driver.jobs.dispatch([job])
    before = await record(driver, job.id)

    [answer] = await driver.jobs.dispatch([job])

    assert answer == Dispatched(DispatchVerdict.EXISTING, State.SCHEDULED)
    assert await record(driver, job.id) == before


@pytest.mark.parametrize("state", list(State))
async def test_existing_tells_the_present_state(driver: Driver, clock: Clock, state: State) -> None:
    job_id = await put_in(driver, clock, state)

    [answer] = await driver.jobs.dispatch([new_job(id=job_id)])

    assert answer == Dispatched(DispatchVerdict.EXISTING, state)
    assert await state_of(driver, job_id) is state


async def test_same_id_twice_in_one_call_is_one_job(driver: Driver) -> None:
    job = new_job()

    answers = await driver.jobs.dispatch([job, new_job(), job])

    assert [answer.verdict for answer in answers] == [DispatchVerdict.CREATED, DispatchVerdict.CREATED, DispatchVerdict.EXISTING]
    assert (await numbers_of(driver)).counts[State.PENDING] == 2


async def test_first_place_decides_what_an_id_means(driver: Driver) -> None:
    job = new_job()

    answers = await driver.jobs.dispatch([job, new_job(id=job.id, body=b"other"), job])

    assert [answer.verdict for answer in answers] == [DispatchVerdict.CREATED, DispatchVerdict.REUSED, DispatchVerdict.EXISTING]
    assert (await record(driver, job.id)).envelope == job.envelope


async def test_concurrent_calls_create_an_id_once(driver: Driver) -> None:
    job = new_job()

    answers = await asyncio.gather(*(driver.jobs.dispatch([new_job(), job]) for _ in range(20)))

    verdicts = [answer[1].verdict for answer in answers]
    assert sorted(verdicts, key=lambda verdict: verdict.value) == [DispatchVerdict.CREATED] + [DispatchVerdict.EXISTING] * 19


async def test_concurrent_calls_with_other_bodies_leave_one_body(driver: Driver) -> None:
    job_id = new_job().id
    jobs = [new_job(id=job_id, body=bytes([n])) for n in range(10)]

    answers = await asyncio.gather(*(driver.jobs.dispatch([job]) for job in jobs))

    verdicts = [answer.verdict for [answer] in answers]
    assert (verdicts.count(DispatchVerdict.CREATED), verdicts.count(DispatchVerdict.REUSED)) == (1, 9)
    assert (await record(driver, job_id)).envelope == jobs[verdicts.index(DispatchVerdict.CREATED)].envelope


@pytest.mark.parametrize("other", [{"queue": "r"}, {"kind": "l"}, {"body": b"other"}], ids=["queue", "kind", "payload"])
@pytest.mark.parametrize("state", [State.PENDING, State.RUNNING, State.COMPLETED])
async def test_id_of_another_job_is_reused(driver: Driver, clock: Clock, state: State, other: dict[str, Any]) -> None:
    job_id = await put_in(driver, clock, state)
    before = await record(driver, job_id)

    [answer] = await driver.jobs.dispatch([new_job(id=job_id, **other)])

    assert answer == Dispatched(DispatchVerdict.REUSED, None)
    assert await record(driver, job_id) == before


@pytest.mark.parametrize("other", [{"priority": 9}, {"delay": MINUTE}, {"labels": {"a": "2"}}], ids=["priority", "delay", "labels"])
async def test_queue_kind_and_payload_alone_make_the_same_job(driver: Driver, other: dict[str, Any]) -> None:
    job_id = await store(driver, labels={"a": "1"})
    before = await record(driver, job_id)

    [answer] = await driver.jobs.dispatch([new_job(id=job_id, **other)])

    assert answer == Dispatched(DispatchVerdict.EXISTING, State.PENDING)
    assert await record(driver, job_id) == before


async def test_finished_job_does_not_run_again_by_dispatch(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await settle_well(driver, worker, lease)

    await driver.jobs.dispatch([new_job(id=lease.id)])

    assert await claim(driver, worker) == []


async def test_dispatch_that_races_with_the_end_of_its_job_stores_no_second_one(driver: Driver) -> None:
    worker = await connect(driver)
    for _ in range(20):
        lease = await store_and_run(driver, worker)

        [answer], _, [again] = await asyncio.gather(
            driver.jobs.dispatch([new_job(id=lease.id)]),
            settle_well(driver, worker, lease),
            driver.jobs.dispatch([new_job(id=lease.id)]),
        )

        assert {answer.verdict, again.verdict} == {DispatchVerdict.EXISTING}
        assert await state_of(driver, lease.id) is State.COMPLETED


async def test_deleted_id_stays_taken(driver: Driver) -> None:
    job_id = await store(driver)
    await driver.jobs.delete([job_id])

    same, other = await driver.jobs.dispatch([new_job(id=job_id), new_job(id=job_id, body=b"other")])

    assert same == Dispatched(DispatchVerdict.EXISTING, None)
    assert other == Dispatched(DispatchVerdict.REUSED, None)
    assert await driver.jobs.get([job_id]) == [None]


async def test_first_payload_counts_after_an_edit(driver: Driver, clock: Clock) -> None:
    job_id = await put_in(driver, clock, State.FAILED)
    await retake(driver, job_id, envelope=job_id + b"edited")

    first, edited = await driver.jobs.dispatch([new_job(id=job_id), new_job(id=job_id, body=b"edited")])

    assert first == Dispatched(DispatchVerdict.EXISTING, State.PENDING)
    assert edited == Dispatched(DispatchVerdict.REUSED, None)


async def test_emptied_job_is_still_known(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, ttl=timedelta(minutes=10))
    lease = await store_and_run(driver, worker)
    await settle_well(driver, worker, lease)
    await driver.queues.change("q", lambda old: replace(old, retention=Retention(completed=MINUTE)))
    await clock.advance(2 * MINUTE)
    await driver.jobs.prune(100)

    same, other = await driver.jobs.dispatch([new_job(id=lease.id), new_job(id=lease.id, body=b"other")])

    assert same.verdict is DispatchVerdict.EXISTING
    assert other.verdict is DispatchVerdict.REUSED
    assert await claim(driver, await connect(driver)) == []


async def test_place_reserved_for_an_existing_job_is_given_back(driver: Driver, room: FakeRoom) -> None:
    worker = await connect(driver)
    job_id = await store(driver)
    room.places = [worker.handle]

    await driver.jobs.dispatch([new_job(id=job_id)])

    assert (room.reserved, room.delivered, room.places) == ([], [], [worker.handle])


async def test_days_later_an_id_inside_the_window_is_still_known(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, ttl=timedelta(minutes=10))
    lease = await store_and_run(driver, worker)
    await settle_well(driver, worker, lease)
    await clock.advance(6 * DAY)
    await driver.maintain()
    await driver.jobs.prune(100)

    [answer] = await driver.jobs.dispatch([new_job(id=lease.id)])

    assert answer == Dispatched(DispatchVerdict.EXISTING, State.COMPLETED)

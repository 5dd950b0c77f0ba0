"""Storing jobs."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from protojobs_service.domain.job import NewJob
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.retry import DEFAULT_POLICY
from protojobs_service.port import ClearQuery, Dispatched, DispatchVerdict, Driver

from tests.contract.acts import (
    EXACT,
    FAIL,
    MINUTE,
    SECOND,
    TTL,
    Worker,
    claim,
    connect,
    during,
    new_id,
    new_job,
    numbers_of,
    record,
    run,
    settle,
    state_of,
    states_of,
    store,
    store_all,
)
from tests.contract.backends import FakeRoom

pytestmark = pytest.mark.asyncio

FAR = datetime(2200, 1, 1, tzinfo=UTC)


async def test_new_job_is_pending_and_reads_as_it_was_dispatched(driver: Driver) -> None:
    parent = new_id()
    job = new_job("mail", "send", body=b"\x00\xff", priority=7, labels={"tenant": "a", "empty": ""}, parent=parent, policy=EXACT)

    [answer], span = await during(driver, driver.jobs.dispatch([job]))

    assert answer == Dispatched(DispatchVerdict.CREATED, State.PENDING)
    found = await record(driver, job.id)
    assert (found.queue, found.kind, found.priority, found.envelope) == ("mail", "send", 7, job.envelope)
    assert (found.labels, found.parent, found.policy) == ({"tenant": "a", "empty": ""}, parent, EXACT)
    assert (found.state, found.attempt, found.failures, found.crashes) == (State.PENDING, 0, 0, 0)
    assert span.holds(found.created_at)
    assert (found.next_at, found.started_at, found.finished_at, found.worker) == (None, None, None, "")
    assert (found.result, found.last_error, found.reason, found.cancel_requested) == (None, None, "", False)
    assert await driver.jobs.attempts(job.id) == []


async def test_job_without_labels_policy_and_parent_has_none_and_the_default_policy(driver: Driver) -> None:
    job_id = await store(driver)

    found = await record(driver, job_id)

    assert (found.labels or None, found.parent, found.policy, found.expire_at) == (None, None, DEFAULT_POLICY, None)


async def test_delay_counts_from_the_stores_now(driver: Driver) -> None:
    job = new_job(delay=MINUTE)

    [answer], span = await during(driver, driver.jobs.dispatch([job]))

    assert answer == Dispatched(DispatchVerdict.CREATED, State.SCHEDULED)
    assert span.holds((await record(driver, job.id)).next_at, plus=MINUTE)


async def test_run_at_ahead_schedules_for_exactly_that_time(driver: Driver) -> None:
    run_at = await driver.ping() + MINUTE

    [answer] = await driver.jobs.dispatch([job := new_job(run_at=run_at)])

    assert answer == Dispatched(DispatchVerdict.CREATED, State.SCHEDULED)
    assert (await record(driver, job.id)).next_at == run_at


async def test_time_that_is_over_means_at_once(driver: Driver) -> None:
    past = new_job(run_at=await driver.ping() - MINUTE)
    none = new_job(delay=0 * SECOND)

    answers = await driver.jobs.dispatch([past, none])

    assert answers == [Dispatched(DispatchVerdict.CREATED, State.PENDING)] * 2


async def test_answers_stand_by_place(driver: Driver) -> None:
    old = await store(driver)
    jobs = [new_job(delay=MINUTE), new_job(id=old), new_job(), new_job(id=old, body=b"other"), new_job()]

    answers = await driver.jobs.dispatch(jobs)

    assert answers == [
        Dispatched(DispatchVerdict.CREATED, State.SCHEDULED),
        Dispatched(DispatchVerdict.EXISTING, State.PENDING),
        Dispatched(DispatchVerdict.CREATED, State.PENDING),
        Dispatched(DispatchVerdict.REUSED, None),
        Dispatched(DispatchVerdict.CREATED, State.PENDING),
    ]


async def test_nothing_to_dispatch_is_no_answer(driver: Driver) -> None:
    assert list(await driver.jobs.dispatch([])) == []


async def test_thousand_jobs_are_stored_at_once(driver: Driver) -> None:
    jobs = [new_job() for _ in range(1000)]

    answers = await driver.jobs.dispatch(jobs)

    assert answers == [Dispatched(DispatchVerdict.CREATED, State.PENDING)] * 1000
    assert await states_of(driver, [job.id for job in jobs]) == [State.PENDING] * 1000


async def test_concurrent_calls_each_get_their_own_answers(driver: Driver) -> None:
    calls = [[new_job(delay=MINUTE if (n + k) % 2 else None) for k in range(n + 1)] for n in range(20)]

    answers = await asyncio.gather(*(driver.jobs.dispatch(jobs) for jobs in calls))

    for jobs, answer in zip(calls, answers, strict=True):
        states = [State.PENDING if job.delay is None else State.SCHEDULED for job in jobs]
        assert answer == [Dispatched(DispatchVerdict.CREATED, state) for state in states]
        assert await states_of(driver, [job.id for job in jobs]) == states


async def test_atomic_batch_with_a_reused_id_stores_nothing(driver: Driver) -> None:
    old = await store(driver)
    fresh = [new_job(), new_job(queue="never")]

    answers = await driver.jobs.dispatch([fresh[0], new_job(id=old, body=b"other"), fresh[1]], atomic=True)

    assert answers == [
        Dispatched(DispatchVerdict.ABORTED, None),
        Dispatched(DispatchVerdict.REUSED, None),
        Dispatched(DispatchVerdict.ABORTED, None),
    ]
    assert await states_of(driver, [job.id for job in fresh]) == [None, None]


async def test_atomic_batch_that_reuses_an_id_of_its_own_stores_nothing(driver: Driver) -> None:
    job = new_job()

    answers = await driver.jobs.dispatch([job, new_job(id=job.id, body=b"other")], atomic=True)

    assert answers == [Dispatched(DispatchVerdict.ABORTED, None), Dispatched(DispatchVerdict.REUSED, None)]
    assert await states_of(driver, [job.id]) == [None]


async def test_atomic_batch_may_be_repeated(driver: Driver) -> None:
    jobs = [new_job(), new_job(delay=MINUTE)]
    await driver.jobs.dispatch(jobs, atomic=True)

    answers = await driver.jobs.dispatch(jobs, atomic=True)

    assert answers == [Dispatched(DispatchVerdict.EXISTING, State.PENDING), Dispatched(DispatchVerdict.EXISTING, State.SCHEDULED)]


async def test_reused_id_spoils_no_other_item_without_atomic(driver: Driver) -> None:
    old = await store(driver)

    answers = await driver.jobs.dispatch([new_job(id=old, body=b"other"), new_job()])

    assert [answer.verdict for answer in answers] == [DispatchVerdict.REUSED, DispatchVerdict.CREATED]


async def test_aborted_batch_does_not_touch_calls_beside_it(driver: Driver) -> None:
    old = await store(driver)
    beside = [new_job() for _ in range(5)]

    answers = await asyncio.gather(
        driver.jobs.dispatch(beside[:2]),
        driver.jobs.dispatch([new_job(), new_job(id=old, body=b"other")], atomic=True),
        driver.jobs.dispatch(beside[2:], atomic=True),
    )

    assert [answer.verdict for answer in answers[1]] == [DispatchVerdict.ABORTED, DispatchVerdict.REUSED]
    assert await states_of(driver, [job.id for job in beside]) == [State.PENDING] * 5


async def test_room_hears_of_queues_with_claimable_jobs_only(driver: Driver, room: FakeRoom) -> None:
    await store_all(driver, [new_job("now"), new_job("later", delay=MINUTE)])

    assert room.told == {"now"}


async def test_reserved_places_become_leases_or_are_given_back(driver: Driver, room: FakeRoom) -> None:
    worker = await connect(driver)
    old = await store(driver)
    room.places = [worker.handle] * 3
    jobs = [new_job(id=old), new_job(), new_job(), new_job(delay=MINUTE)]

    answers = await driver.jobs.dispatch(jobs)

    assert room.reserved == []
    assert [answers[0].state, answers[3].state] == [State.PENDING, State.SCHEDULED]
    for job, answer in zip(jobs[1:3], answers[1:3], strict=True):
        leased = [lease for lease in room.delivered if lease.id == job.id]
        assert answer.state is (State.RUNNING if leased else State.PENDING)
        assert await state_of(driver, job.id) is answer.state
        assert [(lease.handle, lease.attempt, lease.envelope) for lease in leased] in ([], [(worker.handle, 1, job.envelope)])
    assert len(room.delivered) + len(room.places) == 3


async def test_lease_at_dispatch_stands_in_the_store_like_any_other(driver: Driver, room: FakeRoom) -> None:
    worker = await connect(driver)
    room.places = [worker.handle] * 2

    await store_all(driver, [new_job() for _ in range(4)])

    at_dispatch = {(lease.handle, lease.id, lease.attempt) for lease in room.delivered}
    assert set(await driver.sessions.leases([worker.handle])) == at_dispatch
    rest = await claim(driver, worker)
    assert len(rest) == 4 - len(at_dispatch)
    assert {lease.id for lease in rest}.isdisjoint(job_id for _, job_id, _ in at_dispatch)


async def test_place_of_a_closed_handle_leaves_the_job_pending(driver: Driver, room: FakeRoom) -> None:
    worker = await connect(driver)
    await driver.sessions.close(worker.handle, [])
    room.places = [worker.handle]

    [answer] = await driver.jobs.dispatch([job := new_job()])

    assert answer == Dispatched(DispatchVerdict.CREATED, State.PENDING)
    assert (room.reserved, room.delivered) == ([], [])
    other = await connect(driver)
    assert (await run(driver, other, job.id)).attempt == 1


async def test_expiring_job_with_a_future_deadline_is_pending(driver: Driver) -> None:
    expire_at = await driver.ping() + TTL

    job_id = await store(driver, expire_at=expire_at)

    found = await record(driver, job_id)
    assert (found.state, found.expire_at) == (State.PENDING, expire_at)


@pytest.mark.parametrize(
    "fields",
    [{}, {"policy": EXACT}, {"labels": {"a": "b"}}, {"delay": MINUTE}, {"expire_at": FAR}],
    ids=["plain", "policy", "labels", "delay", "expire"],
)
@pytest.mark.parametrize("atomic", [False, True])
async def test_job_that_a_log_accepted_earlier_was_created_then(driver: Driver, fields: dict[str, Any], atomic: bool) -> None:
    accepted_at = await driver.ping() - MINUTE
    job, without = new_job(accepted_at=accepted_at, **fields), new_job(**fields)

    _, span = await during(driver, driver.jobs.dispatch([job, without], atomic=atomic))

    assert (await record(driver, job.id)).created_at == accepted_at
    assert span.holds((await record(driver, without.id)).created_at)


@pytest.mark.parametrize("fields", [{}, {"labels": {"a": "b"}}], ids=["plain", "labels"])
async def test_job_that_a_log_accepts_only_later_is_created_now(driver: Driver, fields: dict[str, Any]) -> None:
    job = new_job(accepted_at=await driver.ping() + MINUTE, **fields)

    _, span = await during(driver, driver.jobs.dispatch([job]))

    assert span.holds((await record(driver, job.id)).created_at)


async def test_delay_of_a_job_that_a_log_accepted_counts_from_the_stores_now(driver: Driver) -> None:
    job = new_job(delay=MINUTE, accepted_at=await driver.ping() - SECOND)

    _, span = await during(driver, driver.jobs.dispatch([job]))

    assert span.holds((await record(driver, job.id)).next_at, plus=MINUTE)


async def test_job_that_a_log_accepted_earlier_stands_in_line_by_its_arrival(driver: Driver) -> None:
    accepted_at = await driver.ping() - MINUTE
    first = await store(driver)
    later = await store_all(driver, [new_job(accepted_at=accepted_at), new_job(accepted_at=accepted_at - MINUTE), new_job()])

    leases = await claim(driver, await connect(driver))

    assert [lease.id for lease in leases] == [first, *later]


async def test_job_that_a_log_accepted_earlier_starts_when_it_is_leased(driver: Driver, room: FakeRoom) -> None:
    worker = await connect(driver)
    room.places = [worker.handle]
    accepted_at = await driver.ping() - MINUTE

    _, span = await during(driver, start(driver, worker, job := new_job(accepted_at=accepted_at)))

    found = await record(driver, job.id)
    assert (found.state, found.created_at) == (State.RUNNING, accepted_at)
    assert span.holds(found.started_at)


async def start(driver: Driver, worker: Worker, job: NewJob) -> None:
    """Dispatch a job and lease it, unless it was leased with its dispatch."""
    [answer] = await driver.jobs.dispatch([job])
    if answer.state is State.PENDING:
        await run(driver, worker, job.id)


async def test_oldest_job_of_a_queue_is_the_one_that_a_log_accepted_first(driver: Driver) -> None:
    accepted_at = await driver.ping() - MINUTE
    await store_all(driver, [new_job(kind="a", accepted_at=accepted_at), new_job(kind="b")])

    numbers = await numbers_of(driver)

    assert numbers.oldest_pending_at == numbers.pending_by_kind["a"][1] == accepted_at
    assert numbers.pending_by_kind["b"][1] != accepted_at


async def test_a_queue_is_cleared_by_when_a_log_accepted_its_jobs(driver: Driver) -> None:
    now = await driver.ping()
    old, young = await store_all(driver, [new_job(accepted_at=now - MINUTE), new_job(accepted_at=now - SECOND)])

    cleared = await driver.queues.clear(ClearQuery(queue="q", states=frozenset({State.PENDING}), before=now - 2 * SECOND))

    assert cleared.deleted == 1
    assert await states_of(driver, [old, young]) == [None, State.PENDING]


async def test_retries_of_a_job_are_bounded_from_when_a_log_accepted_it(driver: Driver) -> None:
    policy, worker = replace(EXACT, max_retry_duration=timedelta(seconds=35)), await connect(driver)
    now = await driver.ping()
    late, fresh = await store_all(driver, [new_job(policy=policy, accepted_at=now - age) for age in (30 * SECOND, SECOND)])

    for job_id in (late, fresh):
        await settle(driver, worker, await run(driver, worker, job_id), FAIL)

    assert await states_of(driver, [late, fresh]) == [State.FAILED, State.RETRYING]


async def test_job_that_a_log_accepted_is_known_when_it_comes_again(driver: Driver) -> None:
    now = await driver.ping()
    job, other = new_job(accepted_at=now - MINUTE), new_job(accepted_at=now - MINUTE)
    await driver.jobs.dispatch([job])

    again = await driver.jobs.dispatch([job._replace(accepted_at=now - SECOND), other, job])

    verdicts = [answer.verdict for answer in again]
    assert verdicts == [DispatchVerdict.EXISTING, DispatchVerdict.CREATED, DispatchVerdict.EXISTING]
    assert (await record(driver, job.id)).created_at == now - MINUTE

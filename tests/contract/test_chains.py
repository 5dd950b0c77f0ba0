"""Follow-ups: stored by whatever ends their job, once, or not at all."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from protojobs_service.domain.job import JobId, JobRecord
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.outcome import CHILD_SKIPPED, RESULT_DROPPED, Cancelled, Complete, Outcome
from protojobs_service.domain.retry import Policy
from protojobs_service.port import Driver, ListQuery, SettleVerdict

from tests.contract.acts import (
    EXACT,
    FAIL,
    FAIL_FOR_GOOD,
    MINUTE,
    SECOND,
    claim,
    connect,
    die,
    new_job,
    numbers_of,
    outcomes_of,
    pass_time,
    reconnect,
    record,
    retake,
    run,
    settle,
    settle_well,
    skip,
    state_of,
    states_of,
    store,
    store_all,
    store_and_run,
)
from tests.contract.backends import Clock, FakeRoom

pytestmark = pytest.mark.asyncio

BODY = b"completed>next,mail;failed>alarm"


async def _children(driver: Driver, parent: JobId) -> Sequence[JobRecord]:
    return (await driver.jobs.list(ListQuery(parent=parent, newest_first=False))).jobs


async def _queues(driver: Driver, parent: JobId) -> list[str]:
    return sorted(child.queue for child in await _children(driver, parent))


async def test_a_completion_stores_what_follows_it_as_jobs_that_name_their_parent(driver: Driver, room: FakeRoom) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, body=BODY, follow_ups=True)
    room.arrivals.clear()

    settled = await settle(driver, worker, lease)

    children = await _children(driver, lease.id)
    assert (settled.verdict, settled.state) == (SettleVerdict.OK, State.COMPLETED)
    assert [(child.state, child.parent) for child in children] == [(State.PENDING, lease.id)] * 2
    assert await _queues(driver, lease.id) == ["mail", "next"]
    assert room.told == {"next", "mail"}
    assert (await numbers_of(driver, "next")).counts[State.PENDING] == 1
    assert (await record(driver, lease.id)).reason == ""
    assert [got.id for got in await claim(driver, await connect(driver, "next"))] == [c.id for c in children if c.queue == "next"]


@pytest.mark.parametrize("road", ["settled", "crashed", "timed out"])
async def test_every_final_failure_stores_what_follows_it(driver: Driver, clock: Clock, road: str) -> None:
    timeout = Policy(max_retries=0, run_timeout=5 * SECOND)
    job_id = await store(driver, body=BODY, follow_ups=True, policy=timeout if road == "timed out" else None)
    if road == "settled":
        worker = await connect(driver)
        await settle_well(driver, worker, await run(driver, worker, job_id), FAIL_FOR_GOOD)
    elif road == "timed out":
        worker = await connect(driver, unary=True)
        await run(driver, worker, job_id)
        await pass_time(driver, clock, 6 * SECOND, alive=[worker])
        await driver.sessions.rescue(100)
    else:
        for _ in range(3):
            worker = await connect(driver)
            await die(driver, clock, worker, await run(driver, worker, job_id))
            assert await _queues(driver, job_id) == []
            await driver.sessions.rescue(100)
            await skip(driver, clock, MINUTE)
            await driver.jobs.promote(100)

    found = await record(driver, job_id)
    assert (found.state, found.reason) == (State.FAILED, {"settled": "", "crashed": "POISON", "timed out": "TIMEOUT"}[road])
    assert await _queues(driver, job_id) == ["alarm"]
    assert (await numbers_of(driver, "alarm")).counts[State.PENDING] == 1


async def test_an_attempt_that_is_not_the_last_stores_nothing(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, body=BODY, follow_ups=True, policy=EXACT)

    await settle_well(driver, worker, lease, FAIL)
    after_failure = await _queues(driver, lease.id)
    await skip(driver, clock, 11 * SECOND)
    await driver.jobs.promote(100)
    worker, _ = await reconnect(driver, worker)
    await settle_well(driver, worker, await run(driver, worker, lease.id))

    assert after_failure == []
    assert await _queues(driver, lease.id) == ["mail", "next"]


async def test_a_job_that_is_cancelled_or_expires_stores_nothing(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, body=BODY, follow_ups=True)
    waiting = await store(driver, body=BODY, follow_ups=True)
    late = await store(driver, body=BODY, follow_ups=True, expire_at=await driver.ping() + SECOND)

    await driver.jobs.cancel([lease.id, waiting], MINUTE)
    await settle_well(driver, worker, lease, Cancelled())
    await clock.advance(2 * SECOND)
    await driver.jobs.expire(100)

    ended = [lease.id, waiting, late]
    assert await states_of(driver, ended) == [State.CANCELLED, State.CANCELLED, State.EXPIRED]
    assert [await _queues(driver, job_id) for job_id in ended] == [[]] * 3


async def test_outcomes_that_race_for_one_attempt_store_its_follow_ups_once(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, body=BODY, follow_ups=True)
    outcomes: list[Outcome] = [Complete(), Complete(result=b"r"), Complete(), FAIL_FOR_GOOD]

    answers = await asyncio.gather(*(settle(driver, worker, lease, outcome) for outcome in outcomes))

    assert sorted(answer.verdict.name for answer in answers) == ["ALREADY"] * 3 + ["OK"]
    completed = await state_of(driver, lease.id) is State.COMPLETED
    assert await _queues(driver, lease.id) == (["mail", "next"] if completed else ["alarm"])


async def test_a_job_that_is_retried_by_hand_stores_the_follow_ups_of_its_new_end_too(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, body=BODY, follow_ups=True)
    await settle_well(driver, worker, lease, FAIL_FOR_GOOD)

    await retake(driver, lease.id)
    await settle_well(driver, worker, await run(driver, worker, lease.id))
    await retake(driver, lease.id)
    await settle_well(driver, worker, await run(driver, worker, lease.id))

    assert await _queues(driver, lease.id) == ["alarm", "mail", "mail", "next", "next"]
    assert (await outcomes_of(driver, lease.id))[-1] == (3, Code.COMPLETED)


async def test_what_an_outcome_brings_and_what_follows_are_stored_together(driver: Driver) -> None:
    worker = await connect(driver)
    plain, chained = new_job(), new_job(body=BODY, follow_ups=True)
    await store_all(driver, [plain, chained])
    leases = {lease.id: lease for lease in await claim(driver, worker)}
    child = new_job("other", parent=chained.id)

    await settle_well(driver, worker, leases[chained.id], Complete(children=(child,)))
    await settle_well(driver, worker, leases[plain.id])

    assert await _queues(driver, chained.id) == ["mail", "next", "other"]
    assert await _queues(driver, plain.id) == []


async def test_a_child_that_exists_is_skipped_and_noted(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, body=BODY, follow_ups=True)
    existing = await store(driver, "other")

    await settle_well(driver, worker, lease, Complete(children=(new_job("next", id=existing, parent=lease.id),)))

    found = await record(driver, lease.id)
    assert (found.state, found.reason) == (State.COMPLETED, CHILD_SKIPPED)
    assert await _queues(driver, lease.id) == ["mail", "next"]


async def test_a_result_that_was_dropped_is_noted(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)

    await settle_well(driver, worker, lease, Complete(result_dropped=True))

    found = await record(driver, lease.id)
    assert (found.state, found.result, found.reason) == (State.COMPLETED, None, RESULT_DROPPED)


async def test_children_are_listed_by_parent_beside_other_filters(driver: Driver) -> None:
    worker = await connect(driver)
    first = await store_and_run(driver, worker, body=BODY, follow_ups=True)
    await settle_well(driver, worker, first)
    second = await store_and_run(driver, worker, body=BODY, follow_ups=True)
    await settle_well(driver, worker, second)

    of_queue = (await driver.jobs.list(ListQuery(parent=first.id, queues=["mail"]))).jobs
    of_state = (await driver.jobs.list(ListQuery(parent=second.id, states=[State.PENDING], queues=["next"]))).jobs
    nothing = (await driver.jobs.list(ListQuery(parent=second.id, states=[State.FAILED]))).jobs

    assert [(job.queue, job.parent) for job in (*of_queue, *of_state)] == [("mail", first.id), ("next", second.id)]
    assert nothing == []


async def test_a_follow_up_that_there_is_no_room_for_is_skipped_and_noted(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, body=b"completed>q1,one-more,q2", follow_ups=True)
    await store_all(driver, [new_job(f"q{n}") for n in range(1, 1000)])
    await driver.queues.change("q2", lambda old: replace(old, max_depth=1))

    await settle_well(driver, worker, lease)

    found = await record(driver, lease.id)
    assert (found.state, found.reason) == (State.COMPLETED, CHILD_SKIPPED)
    assert await _queues(driver, lease.id) == ["q1"]

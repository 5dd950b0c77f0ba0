"""Calls that meet: whichever comes first, the job has one story."""

import asyncio
from collections import Counter

import pytest
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.outcome import COMPLETE, Outcome, Release
from protojobs_service.port import Driver, Settlement, SettleVerdict

from tests.contract.acts import (
    FAIL,
    MINUTE,
    SECOND,
    claim,
    connect,
    die,
    held,
    new_job,
    outcomes_of,
    reconnect,
    settle,
    states_of,
    store_all,
    store_and_run,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio

ROUNDS = 10


async def test_settle_that_meets_a_rescue(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    await store_all(driver, [new_job() for _ in range(20)])
    leases = await claim(driver, worker)
    await die(driver, clock, worker, *leases)

    settles = asyncio.gather(*(settle(driver, worker, lease) for lease in leases))
    answers, rescued = await asyncio.gather(settles, driver.sessions.rescue(100))

    crashed = {item.id for item in rescued}
    for lease, answer in zip(leases, answers, strict=True):
        assert answer.verdict is (SettleVerdict.SUPERSEDED if lease.id in crashed else SettleVerdict.OK)
        assert await outcomes_of(driver, lease.id) == [(1, Code.CRASHED if lease.id in crashed else Code.COMPLETED)]
    assert await driver.queues.reconcile() == 0


async def test_rescues_that_meet_apply_each_job_once(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    ids = await store_all(driver, [new_job() for _ in range(20)])
    await die(driver, clock, worker, *await claim(driver, worker))

    turns = await asyncio.gather(*(driver.sessions.rescue(15) for _ in range(4)))

    applied = Counter(item.id for turn in turns for item in turn)
    assert applied == Counter(ids)
    assert await states_of(driver, ids) == [State.PENDING] * 20
    assert await driver.queues.reconcile() == 0


@pytest.mark.parametrize("outcome", [COMPLETE, FAIL, Release()], ids=["complete", "fail", "release"])
async def test_cancel_that_meets_a_settle(driver: Driver, outcome: Outcome) -> None:
    worker = await connect(driver)
    ids = await store_all(driver, [new_job() for _ in range(20)])
    leases = await claim(driver, worker)
    items = [Settlement(lease.id, 1, worker.handle, outcome) for lease in leases]

    settles = asyncio.gather(*(driver.jobs.settle([item]) for item in items))
    cancelled, settled = await asyncio.gather(driver.jobs.cancel(ids, MINUTE), settles)

    states = await states_of(driver, ids)
    for result, [answer], state, job_id in zip(cancelled, settled, states, ids, strict=True):
        assert answer.verdict is SettleVerdict.OK
        if outcome == COMPLETE:
            assert (result.state in (State.RUNNING, State.COMPLETED), state) == (True, State.COMPLETED)
        else:
            # Asked before, it ends as cancelled; asked after, it waited and was cancelled under the next number.
            assert (result.state in (State.RUNNING, State.CANCELLED), state) == (True, State.CANCELLED)
            assert len(await outcomes_of(driver, job_id)) == (1 if result.state is State.RUNNING else 2)
    assert await driver.queues.reconcile() == 0


async def test_settle_that_meets_a_resume(driver: Driver) -> None:
    worker = await connect(driver)
    for _ in range(ROUNDS):
        lease = await store_and_run(driver, worker)

        answer, (resumed, opened) = await asyncio.gather(settle(driver, worker, lease), reconnect(driver, worker, [held(lease)]))

        if answer.verdict is SettleVerdict.OK:
            assert list(opened.lost) == [held(lease)]
        else:
            assert answer.verdict is SettleVerdict.RETRY_LATER
            assert (await settle(driver, resumed, lease)).verdict is SettleVerdict.OK
        worker = resumed
    assert await driver.queues.reconcile() == 0


async def test_claim_that_meets_a_close_leaves_nothing_leased(driver: Driver) -> None:
    for _ in range(ROUNDS):
        worker = await connect(driver)
        ids = await store_all(driver, [new_job() for _ in range(5)])

        leases, returned = await asyncio.gather(claim(driver, worker), driver.sessions.close(worker.handle, []))

        assert returned in (0, len(leases))
        assert await driver.sessions.leases([worker.handle]) == []
        assert await states_of(driver, ids) == [State.PENDING] * 5
        await driver.jobs.delete(ids)


async def test_promotions_that_meet_move_each_job_once(driver: Driver, clock: Clock) -> None:
    ids = await store_all(driver, [new_job(delay=SECOND) for _ in range(40)])
    await clock.advance(2 * SECOND)

    counts = await asyncio.gather(*(driver.jobs.promote(15) for _ in range(4)))

    assert sum(counts) == 40
    leases = await claim(driver, await connect(driver))
    assert sorted(lease.id for lease in leases) == ids
    assert await driver.queues.reconcile() == 0


async def test_expiry_that_meets_a_claim(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    soon = await driver.ping() + SECOND
    overdue = await store_all(driver, [new_job(expire_at=soon) for _ in range(10)])
    good = await store_all(driver, [new_job() for _ in range(10)])
    await clock.advance(2 * SECOND)

    leases, _, _ = await asyncio.gather(claim(driver, worker), driver.jobs.expire(100), driver.jobs.cancel(overdue[:5], MINUTE))
    await driver.jobs.expire(100)

    assert sorted(lease.id for lease in leases) == good
    states = await states_of(driver, overdue)
    assert set(states[:5]) <= {State.EXPIRED, State.CANCELLED}
    assert states[5:] == [State.EXPIRED] * 5
    assert {len(await outcomes_of(driver, job_id)) for job_id in overdue} == {1}
    assert await driver.queues.reconcile() == 0


async def test_deletes_and_cancels_that_meet(driver: Driver) -> None:
    ids = await store_all(driver, [new_job() for _ in range(20)])

    deleted, cancelled = await asyncio.gather(driver.jobs.delete(ids), driver.jobs.cancel(ids, MINUTE))

    assert [result.found for result in deleted] == [True] * 20
    assert all(result in ((False, None), (True, State.CANCELLED)) for result in cancelled)
    assert await states_of(driver, ids) == [None] * 20
    assert await driver.queues.reconcile() == 0

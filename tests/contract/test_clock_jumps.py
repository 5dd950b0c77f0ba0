"""The store's clock jumps by ten seconds, back or forth: nothing is lost, nothing comes twice, nothing waits longer than that."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.queue_limits import RateLimit
from protojobs_service.domain.schedule import Catchup, CatchupMode
from protojobs_service.domain.unique import OnConflict, Unique, UniqueScope
from protojobs_service.port import DispatchVerdict, Driver

from tests.contract.acts import (
    SECOND,
    Worker,
    claim,
    connect,
    new_job,
    outcomes_of,
    pass_time,
    record,
    settle_well,
    skip,
    state_of,
    states_of,
    store,
    store_all,
)
from tests.contract.backends import Clock
from tests.contract.schedule_acts import add, fire_all, jobs

pytestmark = [pytest.mark.asyncio, pytest.mark.parametrize("jump", [-10 * SECOND, 10 * SECOND], ids=["back", "forth"])]

JUMP = 10 * SECOND


async def _work_off(driver: Driver, worker: Worker) -> list[JobId]:
    """Run everything that is ready; return what was run."""
    ran: list[JobId] = []
    while leases := await claim(driver, worker):
        for lease in leases:
            await settle_well(driver, worker, lease)
        ran += [lease.id for lease in leases]
    return ran


async def _ended_once(driver: Driver, ids: Sequence[JobId]) -> None:
    assert await states_of(driver, ids) == [State.COMPLETED] * len(ids)
    for job_id in ids:
        assert [code for _, code in await outcomes_of(driver, job_id)] == [Code.COMPLETED]
    assert await driver.queues.reconcile() == 0


async def test_waiting_jobs_run_once_in_their_order(driver: Driver, clock: Clock, jump: timedelta) -> None:
    worker = await connect(driver)
    before = await store_all(driver, [new_job() for _ in range(5)])

    await skip(driver, clock, jump)
    after = await store_all(driver, [new_job() for _ in range(5)])
    ran = await _work_off(driver, worker)

    assert [job_id for job_id in ran if job_id in before] == before
    assert [job_id for job_id in ran if job_id in after] == after
    await _ended_once(driver, [*before, *after])


async def test_leases_of_a_worker_that_is_heard_hold(driver: Driver, clock: Clock, jump: timedelta) -> None:
    worker = await connect(driver)
    ids = await store_all(driver, [new_job() for _ in range(3)])
    leases = await claim(driver, worker)
    await driver.sessions.beat()

    await skip(driver, clock, jump)
    rescued = [*await driver.sessions.rescue(100)]
    await pass_time(driver, clock, 20 * SECOND, alive=[worker])
    rescued += await driver.sessions.rescue(100)

    assert rescued == []
    for lease in leases:
        await settle_well(driver, worker, lease)
    await _ended_once(driver, ids)


async def test_a_worker_that_died_is_missed_at_most_so_much_later(driver: Driver, clock: Clock, jump: timedelta) -> None:
    worker = await connect(driver)
    job_id = await store(driver)
    await claim(driver, worker)
    await driver.sessions.beat()

    await skip(driver, clock, jump)
    await pass_time(driver, clock, 31 * SECOND + JUMP)
    rescued = await driver.sessions.rescue(100)

    assert [item.id for item in rescued] == [job_id]
    other = await connect(driver)
    assert await _work_off(driver, other) == [job_id]


async def test_delayed_jobs_come_once_and_at_most_so_much_later(driver: Driver, clock: Clock, jump: timedelta) -> None:
    worker = await connect(driver)
    ids = await store_all(driver, [new_job(delay=n * SECOND) for n in (1, 5, 15)])

    await skip(driver, clock, jump)
    early = await driver.jobs.promote(100)
    await clock.advance(16 * SECOND + max(-jump, timedelta()))
    late = await driver.jobs.promote(100)

    assert early == (2 if jump > timedelta() else 0)
    assert early + late == 3
    assert sorted(await _work_off(driver, worker)) == sorted(ids)
    await _ended_once(driver, ids)


async def test_jobs_do_not_expire_before_their_time_nor_never(driver: Driver, clock: Clock, jump: timedelta) -> None:
    expire_at = await driver.ping() + 15 * SECOND
    job_id = await store(driver, expire_at=expire_at)

    await skip(driver, clock, jump)
    early = await driver.jobs.expire(100)
    await clock.advance(16 * SECOND - jump)
    late = await driver.jobs.expire(100)

    assert (early, late) == (0, 1)
    assert await state_of(driver, job_id) is State.EXPIRED
    assert [code for _, code in await outcomes_of(driver, job_id)] == [Code.EXPIRED]


async def test_schedules_tick_once_for_each_tick(driver: Driver, clock: Clock, jump: timedelta) -> None:
    every = 2 * SECOND
    await add(driver, "s", every, catchup=Catchup(mode=CatchupMode.ALL, most=100))
    began = await driver.ping()
    await clock.advance(12 * SECOND)
    await fire_all(driver)

    await skip(driver, clock, jump)
    await fire_all(driver)
    at_once = len(await jobs(driver))
    await clock.advance(12 * SECOND)
    await fire_all(driver)
    ended = await driver.ping()

    ticks = Counter(int.from_bytes(job.id[:6]) for job in await jobs(driver))
    assert set(ticks.values()) == {1}
    assert at_once >= 6
    seconds = sorted(ms // 1000 for ms in ticks)
    assert seconds == list(range(seconds[0], seconds[-1] + 1, 2))  # none is missed in between
    assert seconds[0] <= began.timestamp() + 2
    assert seconds[-1] >= min(ended.timestamp(), began.timestamp() + 12) - 2


async def test_a_bucket_gives_no_more_than_its_rate_and_goes_on(driver: Driver, clock: Clock, jump: timedelta) -> None:
    worker = await connect(driver)
    await driver.queues.change("q", lambda old: replace(old, rate_limit=RateLimit(per_second=0.5, burst=4)))
    await store_all(driver, [new_job() for _ in range(30)])
    before = len(await claim(driver, worker))

    await skip(driver, clock, jump)
    at_once = len(await claim(driver, worker))
    await pass_time(driver, clock, 10 * SECOND + max(-jump, timedelta()), alive=[worker])
    after = len(await claim(driver, worker))

    assert before == 4
    assert at_once <= (4 if jump > timedelta() else 0)
    assert 4 <= at_once + after <= 4 + 4


async def test_a_window_of_a_unique_key_ends_at_most_so_much_later(driver: Driver, clock: Clock, jump: timedelta) -> None:
    worker = await connect(driver)
    unique = Unique(key="k", scope=UniqueScope.WINDOW, window=15 * SECOND, on_conflict=OnConflict.REJECT)
    first = await store(driver, unique=unique)
    await _work_off(driver, worker)

    await skip(driver, clock, jump)
    [early] = await driver.jobs.dispatch([new_job(unique=unique)])
    await clock.advance(16 * SECOND - jump)
    second = await store(driver, unique=unique)

    assert (early.verdict, early.holder) == (DispatchVerdict.DUPLICATE, first)
    assert await _work_off(driver, worker) == [second]
    assert (await record(driver, second)).state is State.COMPLETED

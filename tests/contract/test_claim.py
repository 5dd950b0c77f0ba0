"""Leasing pending jobs to those who have room for them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import Release, ReleaseCause
from protojobs_service.domain.retry import DEFAULT_POLICY
from protojobs_service.port import Driver

from tests.contract.acts import (
    EXACT,
    FAIL,
    MINUTE,
    SECOND,
    Worker,
    claim,
    connect,
    during,
    new_job,
    numbers_of,
    outcomes_of,
    reconnect,
    record,
    run,
    settle_well,
    skip,
    snooze,
    state_of,
    states_of,
    store,
    store_all,
    store_and_run,
    wish,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio


async def test_claimed_job_runs_under_its_first_attempt(driver: Driver) -> None:
    worker = await connect(driver, "mail", worker="mia")
    job = new_job("mail", "send", policy=EXACT)
    await driver.jobs.dispatch([job])

    [lease], span = await during(driver, claim(driver, worker))

    assert (lease.handle, lease.id, lease.attempt) == (worker.handle, job.id, 1)
    assert (lease.queue, lease.kind, lease.envelope) == ("mail", "send", job.envelope)
    assert (lease.failures, lease.policy, lease.checkpoint) == (0, EXACT, None)
    found = await record(driver, job.id)
    assert (found.state, found.attempt, found.worker) == (State.RUNNING, 1, "mia")
    assert span.holds(found.started_at)
    attempts = await driver.jobs.attempts(job.id)
    assert attempts is not None
    [attempt] = attempts
    assert (attempt.job_id, attempt.attempt, attempt.outcome, attempt.worker) == (job.id, 1, None, "mia")
    assert (attempt.started_at, attempt.finished_at) == (found.started_at, None)


async def test_lease_of_a_job_that_sets_no_policy_has_the_default(driver: Driver) -> None:
    worker = await connect(driver)

    lease = await store_and_run(driver, worker)

    assert lease.policy in (None, DEFAULT_POLICY)


async def test_jobs_come_in_order_of_arrival(driver: Driver) -> None:
    worker = await connect(driver)
    batches = [await store_all(driver, [new_job() for _ in range(5)]) for _ in range(3)]

    leases = await claim(driver, worker)

    assert [lease.id for lease in leases] == [job_id for batch in batches for job_id in batch]


async def test_limit_takes_the_first_ones(driver: Driver) -> None:
    worker = await connect(driver)
    ids = await store_all(driver, [new_job() for _ in range(5)])

    first = await claim(driver, worker, limit=2)
    then = await claim(driver, worker, limit=2)

    assert [lease.id for lease in [*first, *then]] == ids[:4]


async def test_higher_priority_comes_first(driver: Driver) -> None:
    worker = await connect(driver)
    low, high, middle = await store_all(driver, [new_job(priority=1), new_job(priority=9), new_job(priority=5)])

    leases = await claim(driver, worker)

    assert [lease.id for lease in leases] == [high, middle, low]


async def test_priority_holds_between_kinds_of_a_queue(driver: Driver) -> None:
    worker = await connect(driver)
    await store_all(driver, [new_job(kind="a", priority=4), new_job(kind="b", priority=2)])
    high = await store_all(driver, [new_job(kind="b", priority=8), new_job(kind="a", priority=6)])

    leases = await claim(driver, worker, limit=2)

    assert [lease.id for lease in leases] == high


async def test_queues_are_tried_in_the_order_named(driver: Driver) -> None:
    worker = await connect(driver, "a", "b", "c")
    a, b, c = await store_all(driver, [new_job("a", priority=9), new_job("b"), new_job("c")])

    leases = await claim(driver, worker, "c", "a", limit=2)

    assert [lease.id for lease in leases] == [c, a]
    assert await state_of(driver, b) is State.PENDING


async def test_only_named_queues_are_leased_from(driver: Driver) -> None:
    worker = await connect(driver, "a")
    await store(driver, "b")

    assert await claim(driver, worker, "a", "never-used") == []


async def test_only_named_kinds_are_leased(driver: Driver) -> None:
    worker = await connect(driver)
    _, wanted = await store_all(driver, [new_job(kind="a", priority=9), new_job(kind="b")])

    leases = await claim(driver, worker, kinds=["b", "c"])

    assert [lease.id for lease in leases] == [wanted]


async def test_barred_kinds_are_not_leased(driver: Driver) -> None:
    worker = await connect(driver)
    barred, wanted = await store_all(driver, [new_job(kind="a"), new_job(kind="b")])

    among_all = await claim(driver, worker, barred=["a"])
    among_named = await claim(driver, worker, kinds=["a", "b"], barred=["a"])

    assert ([lease.id for lease in among_all], list(among_named)) == ([wanted], [])
    assert await state_of(driver, barred) is State.PENDING


async def test_bytes_bound_the_jobs_of_a_claim(driver: Driver) -> None:
    worker = await connect(driver)
    jobs = [new_job(body=bytes(84)) for _ in range(5)]
    ids = await store_all(driver, jobs)

    leases = await claim(driver, worker, max_bytes=299)

    assert [lease.id for lease in leases] == ids[:2]


async def test_first_job_is_taken_whatever_its_size(driver: Driver) -> None:
    worker = await connect(driver)
    big, _ = await store_all(driver, [new_job(body=bytes(1000)), new_job()])

    leases = await claim(driver, worker, max_bytes=100)

    assert [lease.id for lease in leases] == [big]


async def test_claims_of_one_call_share_what_there_is(driver: Driver) -> None:
    workers = [await connect(driver) for _ in range(3)]
    ids = await store_all(driver, [new_job() for _ in range(5)])

    leases = await driver.jobs.claim([wish(worker, limit=2) for worker in workers])

    assert sorted(lease.id for lease in leases) == ids
    shares = [sum(lease.handle == worker.handle for lease in leases) for worker in workers]
    assert max(shares) == 2


async def test_claims_of_one_call_get_only_what_each_asked_for(driver: Driver) -> None:
    on_a, on_b = await connect(driver, "a"), await connect(driver, "b")
    ids = await store_all(driver, [new_job(queue, kind) for queue in "ab" for kind in "xy"])

    leases = await driver.jobs.claim([wish(on_a, kinds=["x"]), wish(on_b, kinds=["y"])])

    assert {(lease.handle, lease.id) for lease in leases} == {(on_a.handle, ids[0]), (on_b.handle, ids[3])}


async def test_concurrent_claims_never_lease_a_job_twice(driver: Driver) -> None:
    workers = [await connect(driver) for _ in range(8)]
    ids = await store_all(driver, [new_job() for _ in range(50)])

    answers = await asyncio.gather(*(claim(driver, worker, limit=10) for worker in workers))

    leases = [lease for answer in answers for lease in answer]
    assert sorted(lease.id for lease in leases) == ids
    assert {lease.attempt for lease in leases} == {1}


async def _after_close(driver: Driver) -> Worker:
    worker = await connect(driver)
    await driver.sessions.close(worker.handle, [])
    return worker


async def _after_resume(driver: Driver) -> Worker:
    worker = await connect(driver)
    await reconnect(driver, worker)
    return worker


@pytest.mark.parametrize("closed", [_after_close, _after_resume], ids=["closed", "resumed"])
async def test_closed_handle_gets_nothing(driver: Driver, closed: Callable[[Driver], Awaitable[Worker]]) -> None:
    worker = await closed(driver)
    await store(driver)

    assert await claim(driver, worker) == []


async def test_scheduled_job_is_not_leased(driver: Driver) -> None:
    worker = await connect(driver)
    await store(driver, delay=MINUTE)

    assert await claim(driver, worker) == []


async def test_due_job_is_leased_only_after_promotion(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    job_id = await store(driver, delay=SECOND)
    await clock.advance(2 * SECOND)

    before = await claim(driver, worker)
    await driver.jobs.promote(100)
    after = await claim(driver, worker)

    assert ([lease.id for lease in before], [lease.id for lease in after]) == ([], [job_id])


async def test_running_job_is_not_leased_again(driver: Driver) -> None:
    worker = await connect(driver)
    await store_and_run(driver, worker)

    assert await claim(driver, await connect(driver)) == []


async def test_released_jobs_come_before_all_that_wait(driver: Driver) -> None:
    worker = await connect(driver)
    ids = await store_all(driver, [new_job() for _ in range(4)])
    first, second = await claim(driver, worker, limit=2)
    await settle_well(driver, worker, first, Release())
    await settle_well(driver, worker, second, Release())

    leases = await claim(driver, worker)

    assert [lease.id for lease in leases] == ids
    assert [lease.attempt for lease in leases] == [2, 2, 1, 1]


async def test_released_job_passes_no_higher_priority(driver: Driver) -> None:
    worker = await connect(driver)
    low = await store_and_run(driver, worker, priority=1)
    high = await store(driver, priority=9)
    await settle_well(driver, worker, low, Release(cause=ReleaseCause.OVERLOAD))

    leases = await claim(driver, worker)

    assert [lease.id for lease in leases] == [high, low.id]


async def test_promoted_jobs_come_after_all_that_wait(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    late = await store(driver, delay=2 * SECOND)
    early = await store(driver, delay=SECOND)
    waiting = await store(driver)
    await skip(driver, clock, 3 * SECOND)
    await driver.jobs.promote(100)
    newest = await store(driver)

    leases = await claim(driver, worker)

    assert [lease.id for lease in leases] == [waiting, early, late, newest]


async def test_snoozed_job_gives_up_its_place(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await settle_well(driver, worker, lease, snooze(1))
    other = await store(driver)
    await clock.advance(2 * SECOND)
    await driver.jobs.promote(100)

    leases = await claim(driver, worker)

    assert [lease.id for lease in leases] == [other, lease.id]


async def test_next_lease_has_the_next_attempt_and_the_failures(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, policy=EXACT)
    await settle_well(driver, worker, lease, FAIL)
    await skip(driver, clock, 11 * SECOND)
    await driver.jobs.promote(100)

    again = await run(driver, worker, lease.id)

    assert (again.attempt, again.failures) == (2, 1)
    assert [attempt for attempt, _ in await outcomes_of(driver, lease.id)] == [1, 2]


async def test_thousand_jobs_are_leased_at_once(driver: Driver) -> None:
    worker = await connect(driver)
    ids = await store_all(driver, [new_job() for _ in range(1000)])

    leases = await claim(driver, worker, limit=1000)

    assert [lease.id for lease in leases] == ids
    assert await states_of(driver, ids) == [State.RUNNING] * 1000
    assert (await numbers_of(driver)).counts[State.RUNNING] == 1000


async def test_nothing_waits_and_nothing_is_leased(driver: Driver) -> None:
    worker = await connect(driver)

    assert await claim(driver, worker) == []
    assert list(await driver.jobs.claim([])) == []

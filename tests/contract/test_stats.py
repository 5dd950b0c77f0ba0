"""Numbers of queues: what Stats says is what a recount says."""

from dataclasses import replace
from datetime import timedelta

import pytest
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import COMPLETE
from protojobs_service.port import Driver, Settlement

from tests.contract.acts import (
    EXACT,
    FAIL,
    MINUTE,
    SECOND,
    claim,
    connect,
    during,
    new_job,
    numbers_of,
    put_in,
    record,
    retake,
    settle_well,
    skip,
    store,
    store_all,
    store_and_run,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("state", list(State))
async def test_job_counts_in_its_state_alone(driver: Driver, clock: Clock, state: State) -> None:
    await put_in(driver, clock, state)

    counts = (await numbers_of(driver)).counts

    assert {each: counts.get(each, 0) for each in State} == {each: int(each is state) for each in State}
    assert await driver.queues.reconcile() == 0


async def test_counters_equal_a_recount_after_a_busy_hour(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, "a", "b")
    ids = await store_all(driver, [new_job(queue, kind, policy=EXACT) for queue in "ab" for kind in "xy" for _ in range(6)])
    await driver.jobs.cancel(ids[:3], MINUTE)
    await driver.jobs.delete(ids[3:5])
    leases = await claim(driver, worker, limit=12)
    await driver.jobs.settle([Settlement(lease.id, 1, worker.handle, COMPLETE) for lease in leases[:4]])
    await driver.jobs.settle([Settlement(lease.id, 1, worker.handle, FAIL) for lease in leases[4:8]])
    await retake(driver, leases[0].id)
    await driver.sessions.close(worker.handle, [])
    await clock.advance(MINUTE)
    await driver.jobs.promote(3)

    numbers, _ = await driver.queues.stats(None)

    found = [each for each in await driver.jobs.get(ids) if each is not None]
    for queue in numbers:
        recount = {state: sum(each.queue == queue.queue and each.state is state for each in found) for state in State}
        assert {state: queue.counts.get(state, 0) for state in State} == recount
    assert await driver.queues.reconcile() == 0


async def test_queues_are_listed_by_name_with_the_time_of_the_snapshot(driver: Driver) -> None:
    for queue in ("c", "a", "b"):
        await store(driver, queue)

    (numbers, at), span = await during(driver, driver.queues.stats(None))

    assert [each.queue for each in numbers] == ["a", "b", "c"]
    assert span.holds(at)


async def test_numbers_of_one_queue_are_its_own(driver: Driver) -> None:
    await store_all(driver, [new_job("a"), new_job("b"), new_job("b")])

    numbers, _ = await driver.queues.stats("b")

    assert [(each.queue, each.counts[State.PENDING]) for each in numbers] == [("b", 2)]
    assert list((await driver.queues.stats("never"))[0]) == []


async def test_queue_that_was_set_up_and_never_used_has_zeros(driver: Driver) -> None:
    await driver.queues.change("new", lambda old: replace(old, paused=True))

    numbers = await numbers_of(driver, "new")

    assert sum(numbers.counts.values()) == 0
    assert (numbers.oldest_pending_at, numbers.average_run_time, numbers.p95_run_time) == (None, None, None)
    assert (numbers.completed_1m, numbers.completed_5m, numbers.failed_1m, numbers.failed_5m) == (0, 0, 0, 0)
    assert (numbers.workers, numbers.pending_by_kind, numbers.served_kinds) == (0, {}, frozenset())


async def test_oldest_pending_job_is_told_per_queue_and_kind(driver: Driver, clock: Clock) -> None:
    first = await store(driver, kind="a")
    await clock.advance(SECOND)
    second = await store(driver, kind="b")
    await clock.advance(SECOND)
    await store_all(driver, [new_job(kind="b"), new_job(kind="c", delay=MINUTE)])

    numbers = await numbers_of(driver)

    oldest = {kind: (await record(driver, job_id)).created_at for kind, job_id in (("a", first), ("b", second))}
    assert numbers.oldest_pending_at == oldest["a"]
    assert {kind: n for kind, n in numbers.pending_by_kind.items() if n[0]} == {"a": (1, oldest["a"]), "b": (2, oldest["b"])}


async def test_running_jobs_are_told_per_kind(driver: Driver) -> None:
    await store_all(driver, [new_job(kind=kind) for kind in "aabbc"])
    worker = await connect(driver)
    leases = await claim(driver, worker)

    running = (await numbers_of(driver)).running_by_kind
    await driver.jobs.settle([Settlement(lease.id, 1, worker.handle, COMPLETE) for lease in leases if lease.kind == "a"])

    assert running == {"a": 2, "b": 2, "c": 1}
    assert (await numbers_of(driver)).running_by_kind == {"b": 2, "c": 1}


async def test_jobs_that_fall_due_soon_are_told_by_queue_and_kind(driver: Driver) -> None:
    worker = await connect(driver, "a")
    await store(driver, "a", "retried", policy=EXACT)
    lease = (await claim(driver, worker))[0]
    await driver.jobs.settle([Settlement(lease.id, 1, worker.handle, FAIL)])
    await store_all(driver, [new_job(queue, kind, delay=20 * SECOND) for queue, kind in ("ax", "ax", "ay", "bx")])
    await store_all(driver, [new_job("a", "x"), new_job("a", "x", delay=2 * MINUTE), new_job("b", "y", delay=2 * MINUTE)])

    soon = await driver.queues.due_soon(MINUTE, 100)
    first = await driver.queues.due_soon(3 * MINUTE, 2)

    assert soon == {"a": {"retried": 1, "x": 2, "y": 1}, "b": {"x": 1}}
    assert sum(n for kinds in first.values() for n in kinds.values()) == 2
    assert first["a"]["retried"] == 1


async def test_workers_and_the_kinds_they_serve_are_those_of_live_sessions(driver: Driver) -> None:
    await connect(driver, "q", "r", kinds=["a", "b"])
    await connect(driver, "q", kinds=["c"])
    gone = await connect(driver, "q", kinds=["d"])
    await driver.sessions.close(gone.handle, [])
    await connect(driver, "s")
    await store_all(driver, [new_job(queue) for queue in "qrst"])

    numbers, _ = await driver.queues.stats(None)

    served = {each.queue: (each.workers, each.served_kinds) for each in numbers}
    assert served == {"q": (2, {"a", "b", "c"}), "r": (1, {"a", "b"}), "s": (1, None), "t": (0, frozenset())}


async def test_throughput_is_a_rate_that_fades(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    await store_all(driver, [new_job(policy=EXACT) for _ in range(30)])
    leases = await claim(driver, worker)
    await driver.jobs.settle([Settlement(lease.id, 1, worker.handle, COMPLETE) for lease in leases[:20]])
    await driver.jobs.settle([Settlement(lease.id, 1, worker.handle, FAIL) for lease in leases[20:]])

    now = await numbers_of(driver)
    await skip(driver, clock, 3 * MINUTE)
    soon = await numbers_of(driver)
    await skip(driver, clock, 5 * MINUTE)
    later = await numbers_of(driver)

    assert 10 / 60 < now.completed_1m <= 20 / 60 + 0.01
    assert 5 / 60 < now.failed_1m <= 10 / 60 + 0.01
    assert 10 / 300 < now.completed_5m <= 20 / 300 + 0.01
    assert (soon.completed_1m, soon.failed_1m) == (0, 0)
    assert soon.completed_5m > 0
    assert soon.failed_5m > 0
    assert (later.completed_5m, later.failed_5m) == (0, 0)


async def test_run_times_are_an_average_and_a_percentile_within_a_factor_of_two(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    for seconds in [4] * 19 + [40]:
        lease = await store_and_run(driver, worker)
        await skip(driver, clock, seconds * SECOND)
        await settle_well(driver, worker, lease)

    numbers = await numbers_of(driver)

    assert numbers.average_run_time is not None
    assert 5.6 * SECOND < numbers.average_run_time < 6.2 * SECOND
    assert numbers.p95_run_time is not None
    assert 2 * SECOND <= numbers.p95_run_time <= 8.5 * SECOND


async def test_run_times_are_forgotten_after_some_minutes(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await settle_well(driver, worker, lease)
    await clock.advance(timedelta(minutes=8))

    numbers = await numbers_of(driver)

    assert (numbers.average_run_time, numbers.p95_run_time) == (None, None)

"""Limits of queues: jobs at once, leases a second, waiting jobs."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from protojobs_service.domain.job import JobId, Lease
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import COMPLETE, Complete
from protojobs_service.domain.queue_limits import HoldCause, Overflow, RateLimit
from protojobs_service.port import ClearQuery, Dispatched, DispatchVerdict, Driver

from tests.contract.acts import (
    FAIL,
    FAIL_FOR_GOOD,
    MINUTE,
    SECOND,
    Worker,
    claim,
    connect,
    die,
    new_job,
    numbers_of,
    retake,
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
from tests.contract.backends import Bench, Clock, FakeRoom
from tests.contract.schedule_acts import add, firing

pytestmark = pytest.mark.asyncio

CREATED, EXISTING, FULL = DispatchVerdict.CREATED, DispatchVerdict.EXISTING, DispatchVerdict.FULL


async def _limit(driver: Driver, queue: str = "q", **settings: Any) -> None:
    await driver.queues.change(queue, lambda old: replace(old, **settings))


async def _store(driver: Driver, n: int, queue: str = "q") -> list[JobId]:
    return await store_all(driver, [new_job(queue) for _ in range(n)])


async def _running(driver: Driver, queue: str = "q") -> int:
    return (await numbers_of(driver, queue)).counts[State.RUNNING]


def _verdicts(answers: Sequence[Dispatched]) -> list[DispatchVerdict]:
    return [answer.verdict for answer in answers]


# Jobs at once


async def test_no_more_than_max_in_flight_are_leased_and_the_worker_is_told_why(driver: Driver, room: FakeRoom) -> None:
    worker = await connect(driver)
    await _limit(driver, max_in_flight=3)
    ids = await _store(driver, 2)

    within = await claim(driver, worker)
    told_within = list(room.holds)
    ids += await _store(driver, 3)
    leases = [*within, *await claim(driver, worker, limit=4)]
    more = await claim(driver, worker)

    assert [lease.id for lease in leases] == ids[:3]
    assert (told_within, more) == ([], [])
    hold = room.holds[-1]["q"]
    assert (hold.cause, hold.jobs) == (HoldCause.CONCURRENCY, True)


async def test_whatever_ends_an_attempt_frees_its_place(driver: Driver) -> None:
    worker = await connect(driver)
    await _limit(driver, max_in_flight=1)
    ids = await _store(driver, 6)
    ran: list[JobId] = []

    for outcome in (COMPLETE, Complete(result=b"r"), FAIL, FAIL_FOR_GOOD, snooze(5)):
        [lease] = await claim(driver, worker)
        await settle_well(driver, worker, lease, outcome)
        ran.append(lease.id)

    assert ran == ids[:5]


async def test_place_of_a_worker_that_died_is_free_again(driver: Driver, clock: Clock) -> None:
    worker, other = await connect(driver), await connect(driver)
    await _limit(driver, max_in_flight=2)
    await _store(driver, 3)
    leases = await claim(driver, worker)
    assert (len(leases), len(await claim(driver, other))) == (2, 0)

    await die(driver, clock, worker, leases[0])
    await driver.sessions.rescue(100)

    assert len(await claim(driver, other)) == 2


async def test_claims_of_one_call_get_no_more_than_the_limit_together(driver: Driver) -> None:
    one, two = await connect(driver), await connect(driver)
    await _limit(driver, max_in_flight=4)
    await _store(driver, 9)

    leases = await driver.jobs.claim([wish(one, limit=4), wish(two, limit=4)])

    assert len(leases) == 4


async def test_queue_without_a_limit_gives_what_a_limited_one_before_it_leaves_room_for(driver: Driver) -> None:
    worker = await connect(driver, "limited", "free", "also limited")
    await _limit(driver, "limited", max_in_flight=2)
    await _limit(driver, "also limited", max_in_flight=1)
    for queue in ("free", "also limited", "limited"):
        await _store(driver, 3, queue)

    leases = await claim(driver, worker, limit=6)

    assert [lease.queue for lease in leases] == ["limited", "limited", "free", "free", "free", "also limited"]


async def test_limits_lease_by_priority_then_arrival_within_the_bytes_of_the_worker(driver: Driver) -> None:
    worker = await connect(driver)
    await _limit(driver, max_in_flight=10)
    low = await store(driver, priority=1)
    high = [await store(driver, priority=9, body=b"x" * 50) for _ in range(2)]
    other_kind = await store(driver, kind="other")

    first = await claim(driver, worker, kinds=["k"], max_bytes=70)
    rest = await claim(driver, worker, kinds=["k"])

    assert [lease.id for lease in [*first, *rest]] == [high[0], high[1], low]
    assert first[0].envelope == high[0] + b"x" * 50
    assert await state_of(driver, other_kind) is State.PENDING


async def test_change_of_the_limit_holds_from_the_next_claim_on(bench: Bench) -> None:
    driver = bench.driver
    async with bench.twin() as twin:
        worker, other = await connect(driver), await connect(twin)
        await _limit(driver, max_in_flight=3)
        await _store(driver, 10)
        leases = await claim(driver, worker)

        await _limit(driver, max_in_flight=1)
        await twin.queues.settings(0)
        lowered = await claim(twin, other)
        for lease in leases[:2]:
            await settle_well(driver, worker, lease)
        still_full = await claim(twin, other)
        await settle_well(driver, worker, leases[2])
        one = await claim(twin, other)
        await _limit(driver, max_in_flight=0)
        await twin.queues.settings(0)
        rest = await claim(twin, other)

    assert [len(leases) for leases in (leases, lowered, still_full, one, rest)] == [3, 0, 0, 1, 6]


async def test_max_in_flight_is_never_exceeded_and_never_leaks_over_two_servers(bench: Bench) -> None:
    limit, rng = 4, Random(3)
    async with bench.twin() as twin:
        await _limit(bench.driver, max_in_flight=limit)
        await twin.queues.settings(0)
        await store_all(bench.driver, [new_job(kind=kind) for kind in ("a", "b") * 25])
        # A kind for each server, so that they never meet at a job: only the limit keeps them apart.
        teams = [(driver, kind, await connect(driver)) for driver, kind in ((bench.driver, "a"), (twin, "b")) for _ in range(3)]
        held: list[tuple[Driver, Worker, Lease]] = []

        async def take(driver: Driver, kind: str, worker: Worker) -> None:
            leases = await claim(driver, worker, kinds=[kind], limit=rng.randint(1, 3))
            held.extend((driver, worker, lease) for lease in leases)

        for turn in range(5):
            before, during = ([held.pop() for _ in range(min(len(held), n))] for n in (3, rng.randint(0, 1)))
            await asyncio.gather(*(settle_well(*each) for each in before))
            await asyncio.gather(*(take(*team) for team in teams), *(settle_well(*each) for each in during))
            assert len(held) <= limit
            if held and turn % 3 == 2:
                driver, dead, lease = held[0]
                await die(driver, bench.clock, dead, lease)
                await asyncio.gather(twin.sessions.rescue(100), *(take(*team) for team in teams if team[2] is not dead))
                held = [each for each in held if each[1] is not dead]
                teams = [(d, kind, await connect(d) if worker is dead else worker) for d, kind, worker in teams]
            await asyncio.gather(*(take(*team) for team in teams))
            assert len(held) == await _running(bench.driver) == limit


# Leases a second


async def test_bucket_gives_its_burst_at_once_and_then_a_lease_at_a_time(driver: Driver, clock: Clock, room: FakeRoom) -> None:
    worker = await connect(driver)
    await _limit(driver, rate_limit=RateLimit(per_second=0.01, burst=3))
    await _store(driver, 20)

    counts = [len(await claim(driver, worker)), len(await claim(driver, worker))]
    hold = room.holds[-1]["q"]
    spent = (await numbers_of(driver)).rate_spent
    for seconds in (100, 50, 40, 10_000):
        await skip(driver, clock, seconds * SECOND)
        counts.append(len(await claim(driver, worker)))

    assert counts == [3, 0, 1, 0, 0, 3]
    assert (hold.cause, hold.jobs, spent) == (HoldCause.RATE, True, True)
    assert hold.wait_us is not None
    assert 50_000_000 < hold.wait_us <= 100_000_000


async def test_no_window_of_time_sees_more_leases_than_burst_and_rate_allow(bench: Bench) -> None:
    driver, rate, rng = bench.driver, RateLimit(per_second=2.5, burst=4), Random(8)
    seen: list[tuple[datetime, datetime, int]] = []
    async with bench.twin() as twin:
        workers = [(driver, await connect(driver)), (twin, await connect(twin))]
        await _limit(driver, rate_limit=rate)
        await twin.queues.settings(0)
        await _store(driver, 200)
        for _ in range(12):
            first = await driver.ping()
            some = await asyncio.gather(*(claim(*worker, limit=rng.randint(3, 9)) for worker in workers))
            seen.append((first, await driver.ping(), sum(map(len, some))))
            await bench.clock.advance(timedelta(seconds=rng.choice([0, 0.4, 1, 2, 3])))

    assert sum(leases for *_, leases in seen) > rate.burst
    for begin in range(len(seen)):
        for end in range(begin, len(seen)):
            window = (seen[end][1] - seen[begin][0]).total_seconds()
            leases = sum(leases for *_, leases in seen[begin : end + 1])
            assert leases <= rate.burst + rate.per_second * window


async def test_new_rate_neither_fills_the_bucket_nor_keeps_the_old_wait(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    await _limit(driver, rate_limit=RateLimit(per_second=0.0001, burst=5))
    await _store(driver, 50)
    counts = [len(await claim(driver, worker))]

    await _limit(driver, rate_limit=RateLimit(per_second=0.1, burst=20))
    counts.append(len(await claim(driver, worker)))
    await skip(driver, clock, 65 * SECOND)
    counts.append(len(await claim(driver, worker)))

    assert counts == [5, 0, 6]


async def test_both_limits_hold_at_once(driver: Driver, room: FakeRoom) -> None:
    worker = await connect(driver)
    await _limit(driver, max_in_flight=2, rate_limit=RateLimit(per_second=0.001, burst=3))
    await _store(driver, 9)

    leases = await claim(driver, worker)
    for lease in leases:
        await settle_well(driver, worker, lease)
    more = await claim(driver, worker)

    assert (len(leases), len(more)) == (2, 1)
    assert [holds["q"].cause for holds in room.holds] == [HoldCause.CONCURRENCY, HoldCause.RATE]


# Waiting jobs


async def test_full_queue_refuses_new_jobs_and_knows_the_old_ones(driver: Driver) -> None:
    await _limit(driver, max_depth=3)
    first, second, third, fourth = jobs = [new_job() for _ in range(4)]

    answers = await driver.jobs.dispatch(jobs)
    again = await driver.jobs.dispatch([fourth, first, new_job("other")])

    assert _verdicts(answers) == [CREATED, CREATED, CREATED, FULL]
    assert _verdicts(again) == [FULL, EXISTING, CREATED]
    assert await states_of(driver, [second.id, third.id, fourth.id]) == [State.PENDING, State.PENDING, None]


async def test_depth_counts_scheduled_jobs_and_not_running_ones(driver: Driver) -> None:
    worker = await connect(driver)
    await _limit(driver, max_depth=2)
    await store(driver, delay=MINUTE)
    await store_and_run(driver, worker)

    answers = await driver.jobs.dispatch([new_job(), new_job(delay=MINUTE)])

    assert _verdicts(answers) == [CREATED, FULL]


async def test_what_comes_back_is_taken_by_a_full_queue(driver: Driver) -> None:
    worker = await connect(driver)
    await _limit(driver, max_depth=1)
    failed = await store_and_run(driver, worker)
    await settle_well(driver, worker, failed, FAIL_FOR_GOOD)
    lease = await store_and_run(driver, worker)
    await store(driver)

    await settle_well(driver, worker, lease, FAIL)
    await retake(driver, failed.id)

    assert await states_of(driver, [lease.id, failed.id]) == [State.RETRYING, State.PENDING]
    assert _verdicts(await driver.jobs.dispatch([new_job()])) == [FULL]


async def test_atomic_batch_into_a_full_queue_stores_nothing(driver: Driver) -> None:
    await _limit(driver, max_depth=1)
    fits, too_many, other = jobs = [new_job(), new_job(), new_job("other")]

    answers = await driver.jobs.dispatch(jobs, atomic=True)

    assert _verdicts(answers) == [DispatchVerdict.ABORTED, FULL, DispatchVerdict.ABORTED]
    assert await states_of(driver, [fits.id, too_many.id, other.id]) == [None, None, None]
    assert _verdicts(await driver.jobs.dispatch([fits, other], atomic=True)) == [CREATED, CREATED]


async def test_dispatches_over_two_servers_fill_a_queue_to_its_edge(bench: Bench) -> None:
    async with bench.twin() as twin:
        await _limit(bench.driver, max_depth=20)
        await twin.queues.settings(0)
        await store(bench.driver)
        calls = [(driver, [new_job() for _ in range(7)]) for driver in (bench.driver, twin) for _ in range(3)]

        answers = await asyncio.gather(*(driver.jobs.dispatch(jobs) for driver, jobs in calls))

        assert Counter(verdict for answer in answers for verdict in _verdicts(answer)) == {CREATED: 19, FULL: 23}
        await bench.driver.queues.clear(ClearQuery(queue="q", states=frozenset({State.PENDING})))
        assert _verdicts(await twin.jobs.dispatch([new_job()])) == [CREATED]


async def test_queue_that_drops_its_oldest_keeps_the_newest(driver: Driver) -> None:
    await _limit(driver, max_depth=3, overflow=Overflow.DROP_OLDEST)
    later = await store(driver, delay=MINUTE)
    first, second = await _store(driver, 2)

    answers = await driver.jobs.dispatch([newest := new_job(priority=1)])
    too_many = await driver.jobs.dispatch([new_job() for _ in range(4)])

    assert _verdicts(answers) == [CREATED]
    assert _verdicts(too_many) == [CREATED, CREATED, CREATED, FULL]
    assert await states_of(driver, [first, second, later, newest.id]) == [None, None, None, None]
    assert (await numbers_of(driver)).counts[State.PENDING] == 3


async def test_child_into_a_full_queue_is_left_out_and_the_completion_holds(driver: Driver) -> None:
    worker = await connect(driver)
    await _limit(driver, "small", max_depth=1)
    lease = await store_and_run(driver, worker)
    children = [new_job("small", parent=lease.id) for _ in range(2)]

    await settle_well(driver, worker, lease, Complete(children=tuple(children)))

    assert await state_of(driver, lease.id) is State.COMPLETED
    assert sorted(str(state) for state in await states_of(driver, [child.id for child in children])) == ["None", "State.PENDING"]


async def test_tick_into_a_full_queue_makes_no_job_and_is_told(driver: Driver, clock: Clock) -> None:
    await _limit(driver, max_depth=1)
    await add(driver, "a")
    await add(driver, "b")
    await clock.advance(MINUTE)

    fired = await driver.schedules.fire(firing())

    assert (len(fired.late), [reason for _, reason in fired.refused]) == (1, ["QUEUE_FULL"])
    assert (await numbers_of(driver)).counts[State.PENDING] == 1


async def test_limits_of_a_queue_that_is_removed_are_forgotten(driver: Driver) -> None:
    worker = await connect(driver)
    await _limit(driver, max_in_flight=1, max_depth=1, rate_limit=RateLimit(per_second=0.001, burst=1))
    lease = await store_and_run(driver, worker)
    await settle_well(driver, worker, lease)

    await driver.queues.delete("q", force=True)
    await _store(driver, 5)

    assert len(await claim(driver, worker)) == 5

"""Concurrency keys: of one key no more jobs run than its queue allows, and those of a serial one in their order."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from protojobs_service.domain.job import JobId, Lease
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import COMPLETE, Complete, Outcome, Release
from protojobs_service.domain.queue_limits import Overflow
from protojobs_service.port import ClearQuery, DispatchVerdict, Driver, Edit, ListQuery

from tests.contract.acts import (
    DAY,
    EXACT,
    FAIL,
    FAIL_FOR_GOOD,
    MINUTE,
    SECOND,
    Worker,
    claim,
    connect,
    die,
    held,
    new_job,
    numbers_of,
    reconnect,
    record,
    retake,
    run,
    settle_well,
    skip,
    snooze,
    state_of,
    states_of,
    store,
    store_all,
)
from tests.contract.backends import Clock, FakeRoom

pytestmark = pytest.mark.asyncio


async def limit(driver: Driver, n: int, queue: str = "q") -> None:
    await driver.queues.change(queue, lambda settings: replace(settings, per_key_limit=n))


async def keyed(driver: Driver, n: int, key: str = "acme", **fields: Any) -> list[JobId]:
    """Store n jobs of one key."""
    return await store_all(driver, [new_job(concurrency_key=key, policy=EXACT, **fields) for _ in range(n)])


def ids(leases: Sequence[Lease]) -> list[JobId]:
    return [lease.id for lease in leases]


async def test_jobs_of_a_key_run_one_after_the_other_in_their_order(driver: Driver) -> None:
    jobs = await keyed(driver, 4)
    worker = await connect(driver)

    done: list[JobId] = []
    while leases := await claim(driver, worker):
        assert len(leases) == 1
        done += ids(leases)
        await settle_well(driver, worker, leases[0])

    assert done == jobs
    assert await states_of(driver, jobs) == [State.COMPLETED] * 4
    assert await driver.queues.reconcile() == 0


async def test_other_keys_queues_and_jobs_without_one_are_not_held_up(driver: Driver) -> None:
    first, held_up = await keyed(driver, 2)
    others = [await store(driver, concurrency_key="acme "), await store(driver), await store(driver, "r", concurrency_key="acme")]
    worker = await connect(driver, "q", "r")

    leased = ids(await claim(driver, worker))

    assert sorted(leased) == sorted([first, *others])
    assert await state_of(driver, held_up) is State.PENDING


async def test_as_many_jobs_of_a_key_run_as_the_queue_allows(driver: Driver) -> None:
    await limit(driver, 3)
    jobs = await keyed(driver, 7)
    worker = await connect(driver)

    first = await claim(driver, worker)
    await settle_well(driver, worker, first[1])
    second = await claim(driver, worker)

    assert (ids(first), ids(second)) == (jobs[:3], jobs[3:4])
    assert await claim(driver, worker) == []


async def test_a_higher_limit_lets_held_jobs_go_and_a_lower_one_lets_places_run_out(driver: Driver, room: FakeRoom) -> None:
    jobs = await keyed(driver, 6)
    worker = await connect(driver)
    running = list(await claim(driver, worker))

    await limit(driver, 3)
    assert await driver.jobs.unhold(100) == 1
    assert room.arrivals[-1] == {"q"}
    running += await claim(driver, worker)
    await limit(driver, 2)
    await settle_well(driver, worker, running[0])
    too_many = await claim(driver, worker)
    await settle_well(driver, worker, running[1])
    [fourth] = await claim(driver, worker)

    assert (ids(running), too_many, fourth.id) == (jobs[:3], [], jobs[3])
    assert await driver.jobs.unhold(100) == 0


async def test_what_is_held_is_found_page_by_page_when_a_limit_was_raised(driver: Driver) -> None:
    await store_all(driver, [new_job(concurrency_key=key) for key in "abcde" for _ in range(2)])
    await limit(driver, 2)

    while await driver.jobs.unhold(2):
        pass

    assert len(await claim(driver, await connect(driver))) == 10


async def test_what_waits_for_its_key_is_not_counted_as_claimable(driver: Driver) -> None:
    await keyed(driver, 3)
    await store_all(driver, [new_job(kind="plain"), new_job(kind="plain"), new_job("r", concurrency_key="acme")])
    worker = await connect(driver)

    assert await driver.queues.claimable(["q", "r", "never"], 10) == {"q": {"k": 1, "plain": 2}, "r": {"k": 1}}
    assert await driver.queues.claimable(["q"], 1) == {"q": {"k": 1, "plain": 1}}

    [lease] = await claim(driver, worker, kinds=["k"])
    assert await driver.queues.claimable(["q"], 10) == {"q": {"plain": 2}}
    await settle_well(driver, worker, lease)
    assert await driver.queues.claimable(["q"], 10) == {"q": {"k": 1, "plain": 2}}


async def test_a_held_job_is_pending_to_all_who_ask(driver: Driver) -> None:
    [first, second] = await keyed(driver, 2)
    worker = await connect(driver)
    await run(driver, worker, first)

    listed = (await driver.jobs.list(ListQuery(queues=["q"], states=[State.PENDING]))).jobs
    numbers = await numbers_of(driver)
    found = await record(driver, second)

    assert [job.id for job in listed] == [second]
    assert (numbers.counts[State.PENDING], numbers.counts[State.RUNNING], numbers.holds) == (1, 1, True)
    assert numbers.oldest_pending_at == found.created_at
    assert (found.state, found.attempt) == (State.PENDING, 0)
    assert await retake(driver, second) == (State.PENDING, False, True)
    [again] = await driver.jobs.dispatch([new_job(id=second, concurrency_key="acme")])
    assert (again.verdict, again.state) == (DispatchVerdict.EXISTING, State.PENDING)


async def test_held_jobs_can_be_cancelled_deleted_and_expire(driver: Driver, clock: Clock) -> None:
    first, cancelled, deleted = await keyed(driver, 3)
    overdue = await store(driver, concurrency_key="acme", expire_at=await driver.ping() + SECOND)
    last = await store(driver, concurrency_key="acme")
    worker = await connect(driver)
    lease = await run(driver, worker, first)

    [cancel], [delete] = await driver.jobs.cancel([cancelled], MINUTE), await driver.jobs.delete([deleted])
    await clock.advance(2 * SECOND)
    expired = await driver.jobs.expire(10)
    await settle_well(driver, worker, lease)

    assert (cancel.state, delete.found, expired) == (State.CANCELLED, True, 1)
    assert await states_of(driver, [cancelled, deleted, overdue]) == [State.CANCELLED, None, State.EXPIRED]
    assert ids(await claim(driver, worker)) == [last]
    assert await driver.queues.reconcile() == 0


@pytest.mark.parametrize("ending", ["cancel", "delete", "expire", "expire at the claim"])
async def test_a_job_that_ends_before_it_runs_passes_its_place_on(driver: Driver, clock: Clock, ending: str) -> None:
    expires = await driver.ping() + SECOND if ending.startswith("expire") else None
    [first] = await keyed(driver, 1, expire_at=expires)
    [second] = await keyed(driver, 1)
    worker = await connect(driver)

    match ending:
        case "cancel":
            await driver.jobs.cancel([first], MINUTE)
        case "delete":
            await driver.jobs.delete([first])
        case "expire":
            await clock.advance(2 * SECOND)
            assert await driver.jobs.expire(10) == 1
        case _:
            await clock.advance(2 * SECOND)

    assert ids(await claim(driver, worker)) == [second]
    assert await driver.queues.reconcile() == 0


@pytest.mark.parametrize(
    "outcome", [COMPLETE, FAIL_FOR_GOOD, snooze(10), Complete(result=b"1")], ids=["ok", "fail", "snooze", "result"]
)
async def test_an_outcome_that_ends_or_snoozes_passes_the_place_on(driver: Driver, clock: Clock, outcome: Outcome) -> None:
    first, second, third = await keyed(driver, 3)
    worker = await connect(driver)

    await settle_well(driver, worker, await run(driver, worker, first), outcome)
    lease = await run(driver, worker, second)
    await skip(driver, clock, 11 * SECOND)
    await driver.jobs.promote(10)

    assert await claim(driver, worker) == []  # what was snoozed has gone to the end of the line
    await settle_well(driver, worker, lease)
    await settle_well(driver, worker, await run(driver, worker, third))
    assert ids(await claim(driver, worker)) == ([first] if outcome == snooze(10) else [])


async def test_a_job_of_a_serial_key_that_is_retried_keeps_the_others_waiting(driver: Driver, clock: Clock) -> None:
    first, second = await keyed(driver, 2)
    worker = await connect(driver)

    await settle_well(driver, worker, await run(driver, worker, first), FAIL)
    meanwhile = await claim(driver, worker)
    await clock.advance(11 * SECOND)
    await driver.jobs.promote(10)
    again = await run(driver, worker, first)

    assert (meanwhile, again.attempt) == ([], 2)
    await settle_well(driver, worker, again)
    assert ids(await claim(driver, worker)) == [second]


async def test_a_retried_job_of_a_wider_key_gives_its_place_to_the_next(driver: Driver, clock: Clock) -> None:
    await limit(driver, 2)
    jobs = await keyed(driver, 4)
    worker = await connect(driver)

    first, second = await claim(driver, worker)
    await settle_well(driver, worker, first, FAIL)
    [third] = await claim(driver, worker)
    await clock.advance(11 * SECOND)
    await driver.jobs.promote(10)
    assert await claim(driver, worker) == []
    await settle_well(driver, worker, second)
    await settle_well(driver, worker, third)

    assert ids(await claim(driver, worker)) == [jobs[3], jobs[0]]


async def test_a_job_that_comes_back_keeps_its_place(driver: Driver, clock: Clock) -> None:
    first, second = await keyed(driver, 2)
    worker = await connect(driver)

    for _ in range(3):  # from the third return in a row on it waits for its time
        await settle_well(driver, worker, await run(driver, worker, first), Release())
    assert await state_of(driver, first) is State.SCHEDULED
    assert await claim(driver, worker) == []
    await clock.advance(2 * SECOND)
    await driver.jobs.promote(10)
    lease = await run(driver, worker, first)
    await die(driver, clock, worker, lease)
    await driver.sessions.rescue(10)
    worker = await connect(driver)

    await settle_well(driver, worker, await run(driver, worker, first))
    assert ids(await claim(driver, worker)) == [second]


async def test_a_poisonous_job_passes_its_place_on(driver: Driver, clock: Clock) -> None:
    first, second = await keyed(driver, 2)

    for _ in range(3):
        worker = await connect(driver)
        await die(driver, clock, worker, await run(driver, worker, first))
        await driver.sessions.rescue(10)
        await skip(driver, clock, 60 * SECOND)
        await driver.jobs.promote(10)

    assert await state_of(driver, first) is State.FAILED
    assert ids(await claim(driver, await connect(driver))) == [second]


async def test_a_resume_keeps_and_returns_places(driver: Driver) -> None:
    await limit(driver, 2)
    jobs = await keyed(driver, 3)
    worker = await connect(driver)
    kept, returned = await claim(driver, worker)

    worker, _ = await reconnect(driver, worker, [held(kept)])

    assert ids(await claim(driver, worker)) == [returned.id]
    await settle_well(driver, worker, kept)
    assert ids(await claim(driver, worker)) == [jobs[2]]


async def test_retry_by_hand_waits_for_a_place_and_run_now_has_its_own(driver: Driver, clock: Clock) -> None:
    failed, retrying, held_up = await keyed(driver, 3)
    worker = await connect(driver)
    await settle_well(driver, worker, await run(driver, worker, failed), FAIL_FOR_GOOD)
    await settle_well(driver, worker, await run(driver, worker, retrying), FAIL)

    assert await retake(driver, failed) == (State.PENDING, False, False)
    assert await claim(driver, worker) == []
    assert await retake(driver, retrying) == (State.PENDING, False, False)
    lease = await run(driver, worker, retrying)
    await settle_well(driver, worker, lease, FAIL)
    assert await retake(driver, retrying, run_at=await driver.ping() + DAY) == (State.SCHEDULED, False, False)

    order: list[JobId] = []
    while leases := await claim(driver, worker):
        order += ids(leases)
        await settle_well(driver, worker, leases[0])
    assert order == [held_up, failed]
    await skip(driver, clock, 2 * DAY)
    await driver.jobs.promote(10)
    assert ids(await claim(driver, await connect(driver))) == [retrying]
    assert await driver.queues.reconcile() == 0


async def test_a_delayed_job_takes_its_place_when_its_time_has_come(driver: Driver, clock: Clock) -> None:
    [delayed] = await keyed(driver, 1, delay=MINUTE)
    first, second = await keyed(driver, 2)
    worker = await connect(driver)
    lease = await run(driver, worker, first)

    await skip(driver, clock, 2 * MINUTE)
    assert await driver.jobs.promote(10) == 1
    assert await claim(driver, worker) == []
    await settle_well(driver, worker, lease)
    await settle_well(driver, worker, await run(driver, worker, second))

    assert ids(await claim(driver, worker)) == [delayed]


async def test_children_ask_for_a_place_in_the_transaction_of_their_parent(driver: Driver) -> None:
    [parent] = await keyed(driver, 1)
    worker = await connect(driver)
    child = new_job(concurrency_key="acme", parent=parent)

    await settle_well(driver, worker, await run(driver, worker, parent), Complete(children=(child,)))

    assert ids(await claim(driver, worker)) == [child.id]


async def test_clearing_a_queue_takes_what_is_held_and_nothing_is_handed_over_meanwhile(driver: Driver) -> None:
    jobs = await keyed(driver, 7)
    worker = await connect(driver)
    lease = await run(driver, worker, jobs[0])
    query = ClearQuery(queue="q", states=frozenset({State.PENDING}), limit=2)

    assert (await driver.queues.clear(replace(query, limit=100, dry_run=True))).deleted == 6
    deleted, after = 0, None
    while True:
        page = await driver.queues.clear(replace(query, after=after))
        deleted, after = deleted + page.deleted, page.after
        if after is None:
            break
    await settle_well(driver, worker, lease)

    assert deleted == 6
    assert await claim(driver, worker) == []
    assert await driver.queues.reconcile() == 0


async def test_a_queue_with_held_jobs_is_deleted_by_force_and_begins_anew(driver: Driver) -> None:
    await keyed(driver, 5)

    await driver.queues.delete("q", force=True)
    first, second = await keyed(driver, 2)

    worker = await connect(driver)
    assert ids(await claim(driver, worker)) == [first]
    assert await state_of(driver, second) is State.PENDING


async def test_a_full_queue_drops_what_is_held_as_well(driver: Driver) -> None:
    jobs = await keyed(driver, 4)
    worker = await connect(driver)
    lease = await run(driver, worker, jobs[0])
    drops: dict[str, Any] = {"max_depth": 3, "overflow": Overflow.DROP_OLDEST, "max_in_flight": 10}
    await driver.queues.change("q", lambda settings: replace(settings, **drops))

    [newest] = await keyed(driver, 1)
    await settle_well(driver, worker, lease)

    assert await states_of(driver, [jobs[1], jobs[3], newest]) == [None, State.PENDING, State.PENDING]
    assert ids(await claim(driver, worker)) == [jobs[2]]
    assert await driver.queues.reconcile() == 0


async def test_an_edited_job_lines_up_again_and_one_that_moves_passes_its_place_on(driver: Driver) -> None:
    first, second, third, fourth = await keyed(driver, 4)
    worker = await connect(driver, "q", "r")
    same: Callable[[bytes], bytes] = lambda envelope: envelope  # noqa: E731

    await driver.jobs.edit([Edit(id=first, envelope=same, queue="r")])
    leases = await claim(driver, worker)
    assert sorted(ids(leases)) == sorted([first, second])
    await driver.jobs.edit([Edit(id=third, envelope=same, priority=9)])
    for lease in leases:
        await settle_well(driver, worker, lease)
    [lease] = await claim(driver, worker)
    await settle_well(driver, worker, lease, FAIL)
    await driver.jobs.edit([Edit(id=fourth, envelope=same, priority=1)])

    assert (lease.id, await state_of(driver, fourth), await claim(driver, worker)) == (fourth, State.RETRYING, [])
    await driver.jobs.edit([Edit(id=fourth, envelope=same, start=MINUTE)])
    assert ids(await claim(driver, worker)) == [third]
    assert await driver.queues.reconcile() == 0


async def test_one_flush_of_many_keys_gives_one_place_each(driver: Driver) -> None:
    jobs = [new_job(concurrency_key=f"k{n % 30}") for n in range(90)]
    await asyncio.gather(*(driver.jobs.dispatch(jobs[at : at + 30]) for at in range(0, 90, 30)))
    worker = await connect(driver)

    assert sorted(ids(await claim(driver, worker))) == sorted(job.id for job in jobs[:30])


async def test_each_key_keeps_its_order_under_eight_claimers_and_crashes(driver: Driver, clock: Clock) -> None:
    rng, keys = Random(7), [f"key-{n}" for n in range(5)]
    jobs = [new_job(concurrency_key=rng.choice(keys), policy=EXACT, body=b"") for _ in range(60)]
    for at in range(0, 60, 20):
        await store_all(driver, jobs[at : at + 20])
    order: dict[str, list[JobId]] = defaultdict(list)
    for job in jobs:
        order[job.concurrency_key or ""].append(job.id)
    key_of = {job.id: job.concurrency_key or "" for job in jobs}
    workers = [await connect(driver) for _ in range(8)]

    async def turn(worker: Worker) -> list[tuple[Worker, Lease]]:
        return [(worker, lease) for lease in await claim(driver, worker, limit=2)]

    async def end(worker: Worker, lease: Lease, outcome: Outcome) -> JobId | None:
        settled = await settle_well(driver, worker, lease, outcome)
        return lease.id if settled.state is not None and settled.state.is_final else None

    running: dict[str, JobId] = {}
    choices: list[Outcome] = [COMPLETE, FAIL, Release(), FAIL_FOR_GOOD]
    for _ in range(400):
        if not any(order.values()):
            break
        for worker, lease in [each for leased in await asyncio.gather(*map(turn, workers)) for each in leased]:
            key = key_of[lease.id]
            assert key not in running, "two of one key at once"
            assert lease.id == order[key][0], "out of order"
            running[key] = lease.id
            if rng.random() < 0.1:
                await die(driver, clock, worker, lease)
                workers.remove(worker)
                workers.append(await connect(driver))
        # What died is rescued while the others settle.
        live = {worker.handle for worker in workers}
        leases = await driver.sessions.leases(list(live))
        by_handle = {worker.handle: worker for worker in workers}
        found = {job.id: job for job in await driver.jobs.get([job_id for _, job_id, _ in leases]) if job is not None}
        outcomes = [rng.choices(choices, [6, 2, 1, 1])[0] for _ in leases]
        ends = [
            end(by_handle[handle], Lease(handle, job_id, attempt, "q", "k", found[job_id].envelope), outcome)
            for (handle, job_id, attempt), outcome in zip(leases, outcomes, strict=True)
        ]
        _, *ended = await asyncio.gather(driver.sessions.rescue(100), *ends)
        await skip(driver, clock, 61 * SECOND)
        await driver.jobs.promote(100)
        still = await driver.sessions.leases(list(live))
        running = {key_of[job_id]: job_id for _, job_id, _ in still}
        states = dict(zip(key_of, await states_of(driver, list(key_of)), strict=True))
        for left in order.values():
            while left and (state := states[left[0]]) is not None and state.is_final:
                left.pop(0)
        assert not [job for job in ended if job is not None and any(job in left for left in order.values())]

    assert not any(order.values())
    assert await driver.queues.reconcile() == 0

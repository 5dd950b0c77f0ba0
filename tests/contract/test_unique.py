"""Unique keys: of the jobs of a queue that name one, at most one has it, and it is free again when its scope ends."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from protojobs_service.domain.errors import QueueNotFound
from protojobs_service.domain.job import NewJob
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import COMPLETE, Cancelled, Complete, Release
from protojobs_service.domain.queue_limits import Overflow
from protojobs_service.domain.unique import OnConflict, Unique, UniqueScope
from protojobs_service.port import ClearQuery, Dispatched, DispatchVerdict, Driver, Retake, Settlement

from tests.contract import schedule_acts
from tests.contract.acts import (
    FAIL,
    FAIL_FOR_GOOD,
    MINUTE,
    SECOND,
    claim,
    connect,
    die,
    new_job,
    numbers_of,
    put_in,
    record,
    run,
    settle_well,
    skip,
    snooze,
    state_of,
    states_of,
    store,
    store_and_run,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio

CREATED, EXISTING, REPLACED = DispatchVerdict.CREATED, DispatchVerdict.EXISTING, DispatchVerdict.REPLACED
DUPLICATE, ABORTED, REUSED = DispatchVerdict.DUPLICATE, DispatchVerdict.ABORTED, DispatchVerdict.REUSED
START, DONE, WINDOW = UniqueScope.UNTIL_START, UniqueScope.UNTIL_DONE, UniqueScope.WINDOW
REJECT, RETURN, REPLACE, DEBOUNCE = OnConflict.REJECT, OnConflict.RETURN_EXISTING, OnConflict.REPLACE, OnConflict.DEBOUNCE


def unique(scope: UniqueScope = DONE, on_conflict: OnConflict = REJECT, key: str = "key", window: timedelta = MINUTE) -> Unique:
    return Unique(key=key, scope=scope, window=window if scope is WINDOW else None, on_conflict=on_conflict)


async def offer(driver: Driver, job: NewJob) -> Dispatched:
    [answer] = await driver.jobs.dispatch([job])
    return answer


async def is_free(driver: Driver, key: Unique, queue: str = "q") -> bool:
    """Tell whether the key is free, by a job that comes and goes."""
    probe = new_job(queue, unique=key)
    verdict = (await offer(driver, probe)).verdict
    await driver.jobs.delete([probe.id])
    return verdict is CREATED


async def test_key_belongs_to_one_job_of_a_queue_and_to_the_byte(driver: Driver) -> None:
    for queue, scope in zip("abc", UniqueScope, strict=True):
        first = await store(driver, queue, unique=unique(scope))

        second = await offer(driver, new_job(queue, "other", unique=unique(scope)))
        others = [new_job(queue, unique=unique(scope, key=key)) for key in ("Key", "key ", "kéy", "k")]
        answers = await driver.jobs.dispatch([new_job(f"{queue}2", unique=unique(scope)), *others])

        assert second == Dispatched(DUPLICATE, None, first)
        assert answers == [Dispatched(CREATED, State.PENDING)] * 5
        assert (await numbers_of(driver, queue)).counts[State.PENDING] == 5
        assert await driver.queues.reconcile() == 0


async def test_existing_job_is_returned_with_its_state(driver: Driver) -> None:
    first = await store(driver, unique=unique(), delay=MINUTE)

    answer = await offer(driver, new_job(unique=unique(on_conflict=RETURN)))

    assert answer == Dispatched(EXISTING, State.SCHEDULED, first)


async def test_id_goes_before_the_key(driver: Driver) -> None:
    job = new_job(unique=unique())
    other = new_job(unique=unique())
    await driver.jobs.dispatch([job])

    answers = await driver.jobs.dispatch([job, job._replace(envelope=job.id + b"edited"), other, other])

    holder = Dispatched(DUPLICATE, None, job.id)
    assert answers == [Dispatched(EXISTING, State.PENDING), Dispatched(REUSED, None), holder, holder]
    worker = await connect(driver)
    await settle_well(driver, worker, await run(driver, worker, job.id))
    assert await offer(driver, job) == Dispatched(EXISTING, State.COMPLETED)


async def test_equal_keys_of_one_call_are_served_by_place(driver: Driver) -> None:
    jobs = [
        new_job(unique=unique()),
        new_job(unique=unique(on_conflict=RETURN)),
        new_job(unique=unique(on_conflict=REPLACE), expire_at=await driver.ping() + MINUTE, labels={"a": "b"}),
        new_job(unique=unique()),
        new_job(unique=unique(on_conflict=REPLACE)),
        new_job(),
    ]

    answers = await driver.jobs.dispatch(jobs)

    ids = [job.id for job in jobs]
    assert answers == [
        Dispatched(CREATED, State.CANCELLED),
        Dispatched(EXISTING, State.PENDING, ids[0]),
        Dispatched(REPLACED, State.CANCELLED, ids[0]),
        Dispatched(DUPLICATE, None, ids[2]),
        Dispatched(REPLACED, State.PENDING, ids[2]),
        Dispatched(CREATED, State.PENDING),
    ]
    assert await states_of(driver, ids) == [State.CANCELLED, None, State.CANCELLED, None, State.PENDING, State.PENDING]
    assert {(await record(driver, ids[place])).reason for place in (0, 2)} == {"REPLACED"}
    assert {lease.id for lease in await claim(driver, await connect(driver))} == {ids[4], ids[5]}
    assert await driver.queues.reconcile() == 0


async def test_job_that_waits_is_replaced(driver: Driver, clock: Clock) -> None:
    for state, on_conflict in product((State.PENDING, State.SCHEDULED, State.RETRYING), (REPLACE, DEBOUNCE)):
        key = f"{state} {on_conflict}"
        first = await put_in(driver, clock, state, unique=unique(key=key))
        second = new_job(unique=unique(on_conflict=on_conflict, key=key), delay=10 * MINUTE)

        answer = await offer(driver, second)

        assert answer == Dispatched(REPLACED, State.SCHEDULED, first)
        old = await record(driver, first)
        assert (old.state, old.reason) == (State.CANCELLED, "REPLACED")
        assert await offer(driver, new_job(unique=unique(key=key))) == Dispatched(DUPLICATE, None, second.id)
        assert await claim(driver, await connect(driver)) == []
        assert await driver.queues.reconcile() == 0


async def test_job_that_runs_is_not_replaced(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, unique=unique())

    jobs = [new_job(unique=unique(on_conflict=on_conflict), delay=MINUTE) for on_conflict in (REPLACE, DEBOUNCE)]

    answers = await driver.jobs.dispatch(jobs)

    assert answers == [Dispatched(DUPLICATE, None, lease.id)] * 2
    assert await state_of(driver, lease.id) is State.RUNNING


async def test_job_that_has_ended_within_its_window_is_not_replaced(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, unique=unique(WINDOW))
    await settle_well(driver, worker, lease)

    replaced = await offer(driver, new_job(unique=unique(WINDOW, REPLACE)))
    returned = await offer(driver, new_job(unique=unique(WINDOW, RETURN)))

    assert replaced == Dispatched(DUPLICATE, None, lease.id)
    assert returned == Dispatched(EXISTING, State.COMPLETED, lease.id)


async def test_debounce_pushes_and_replace_sets_the_time(driver: Driver, clock: Clock) -> None:
    await store(driver, unique=unique(START), delay=MINUTE)
    sooner, later, replacing = (new_job(unique=unique(START, how), delay=span) for how, span in _PUSHES)
    await driver.jobs.dispatch([sooner])
    first_at = (await record(driver, sooner.id)).next_at
    await clock.advance(30 * SECOND)
    await driver.jobs.dispatch([later])
    pushed_at = (await record(driver, later.id)).next_at

    await driver.jobs.dispatch([replacing])

    now = await driver.ping()
    assert first_at is not None
    assert pushed_at is not None
    assert timedelta() < first_at - now <= MINUTE  # of the job that was replaced, although this one asked for 10 s
    assert 50 * SECOND < pushed_at - now <= MINUTE
    replaced_at = (await record(driver, replacing.id)).next_at
    assert replaced_at is not None
    assert replaced_at - now <= 10 * SECOND


_PUSHES = ((DEBOUNCE, 10 * SECOND), (DEBOUNCE, MINUTE), (REPLACE, 10 * SECOND))


async def test_until_start_ends_with_the_first_lease_for_good(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    key = unique(START)
    lease = await store_and_run(driver, worker, unique=key)
    second = await store(driver, unique=key, delay=MINUTE)

    await settle_well(driver, worker, lease, FAIL)

    assert await state_of(driver, lease.id) is State.RETRYING
    assert await offer(driver, new_job(unique=key)) == Dispatched(DUPLICATE, None, second)
    await driver.jobs.delete([second])
    assert await is_free(driver, key)
    await clock.advance(2 * MINUTE)
    await driver.jobs.promote(10)
    assert await is_free(driver, key), "a retry that waits has no key"


async def test_until_done_outlives_what_does_not_end_the_job(driver: Driver, clock: Clock) -> None:
    for outcome in (Release(), snooze(1), FAIL):
        worker = await connect(driver)
        lease = await store_and_run(driver, worker, unique=unique())
        taken = Dispatched(DUPLICATE, None, lease.id)
        answers = [await offer(driver, new_job(unique=unique()))]

        await settle_well(driver, worker, lease, outcome)

        answers.append(await offer(driver, new_job(unique=unique())))
        await skip(driver, clock, 10 * MINUTE)
        await driver.jobs.promote(10)
        again = await run(driver, worker, lease.id)
        answers.append(await offer(driver, new_job(unique=unique())))
        assert answers == [taken] * 3
        await settle_well(driver, worker, again)
        assert await is_free(driver, unique())


async def test_final_outcome_frees_the_key(driver: Driver, clock: Clock) -> None:
    for scope, state in product((START, DONE), (State.COMPLETED, State.FAILED, State.CANCELLED, State.EXPIRED)):
        await put_in(driver, clock, state, unique=unique(scope))

        assert await is_free(driver, unique(scope))
    assert await driver.queues.reconcile() == 0


async def test_key_passes_on_when_its_job_ends_and_one_settle_brings_many(driver: Driver) -> None:
    worker = await connect(driver)
    for outcome in (COMPLETE, FAIL_FOR_GOOD, Cancelled()):
        jobs = [new_job(unique=unique(key=str(n))) for n in range(5)]
        assert await driver.jobs.dispatch(jobs) == [Dispatched(CREATED, State.PENDING)] * 5
        leases = await claim(driver, worker)

        await driver.jobs.settle([Settlement(lease.id, lease.attempt, worker.handle, outcome) for lease in leases])
    assert [await is_free(driver, unique(key=str(n))) for n in range(5)] == [True] * 5
    assert await driver.queues.reconcile() == 0


async def test_poison_frees_the_key(driver: Driver, clock: Clock) -> None:
    job_id = await store(driver, unique=unique())
    for _ in range(3):
        worker = await connect(driver)
        lease = await run(driver, worker, job_id)
        assert not await is_free(driver, unique())
        await die(driver, clock, worker, lease)
        await driver.sessions.rescue(10)
        await skip(driver, clock, MINUTE)
        await driver.jobs.promote(10)

    assert await state_of(driver, job_id) is State.FAILED
    assert await is_free(driver, unique())


async def test_job_that_expires_at_its_claim_frees_the_key(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    job_id = await store(driver, unique=unique(), expire_at=await driver.ping() + SECOND)
    await clock.advance(2 * SECOND)

    assert await claim(driver, worker) == []

    assert await state_of(driver, job_id) is State.EXPIRED
    assert await is_free(driver, unique())


async def test_window_ends_by_time_alone_and_is_forgotten(driver: Driver, clock: Clock) -> None:
    key = unique(WINDOW, window=10 * SECOND)
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, unique=key)
    await settle_well(driver, worker, lease)
    assert await offer(driver, new_job(unique=key)) == Dispatched(DUPLICATE, None, lease.id)

    await clock.advance(11 * SECOND)
    second = await store(driver, unique=key)
    await driver.jobs.prune(100)

    assert await offer(driver, new_job(unique=key)) == Dispatched(DUPLICATE, None, second)
    await driver.jobs.cancel([second], MINUTE)
    assert await offer(driver, new_job(unique=key)) == Dispatched(DUPLICATE, None, second)
    await clock.advance(11 * SECOND)
    await driver.jobs.prune(100)
    assert await is_free(driver, key)


async def test_removed_jobs_leave_no_keys(driver: Driver) -> None:
    for scope in UniqueScope:
        waiting = await store(driver, unique=unique(scope))
        await driver.jobs.delete([waiting])
        assert await is_free(driver, unique(scope))
        cleared = await store(driver, unique=unique(scope), delay=MINUTE)
        await driver.queues.clear(ClearQuery(queue="q", states=frozenset(State)))
        assert await states_of(driver, [cleared]) == [None]
        assert await is_free(driver, unique(scope))
        await store(driver, unique=unique(scope))

        await driver.queues.delete("q", force=True)

        with pytest.raises(QueueNotFound):
            await driver.queues.delete("q", force=True)
        assert await is_free(driver, unique(scope))


async def test_retry_by_hand_takes_the_key_again_or_is_refused(driver: Driver, clock: Clock) -> None:
    for scope in UniqueScope:
        key = unique(scope)
        first = await put_in(driver, clock, State.FAILED, unique=key)
        await skip(driver, clock, 2 * MINUTE)
        second = await store(driver, unique=key)

        [refused] = await driver.jobs.retake([Retake(id=first)])

        assert (refused.found, refused.state, refused.duplicate) == (True, State.FAILED, second)
        await driver.jobs.delete([second])
        [taken] = await driver.jobs.retake([Retake(id=first, run_at=await driver.ping() + MINUTE)])
        assert (taken.state, taken.duplicate) == (State.SCHEDULED, None)
        assert await offer(driver, new_job(unique=key)) == Dispatched(DUPLICATE, None, first)
        [hurried] = await driver.jobs.retake([Retake(id=first)])
        assert hurried.state is State.PENDING
        assert await offer(driver, new_job(unique=key)) == Dispatched(DUPLICATE, None, first)
        worker = await connect(driver)
        await settle_well(driver, worker, await run(driver, worker, first))
        await skip(driver, clock, 2 * MINUTE)
        assert await is_free(driver, key)
    assert await driver.queues.reconcile() == 0


async def test_of_two_final_jobs_with_one_key_the_first_retry_wins(driver: Driver, clock: Clock) -> None:
    ids = [await put_in(driver, clock, State.COMPLETED, unique=unique()) for _ in range(2)]

    results = await driver.jobs.retake([Retake(id=job_id) for job_id in ids])

    assert [(result.state, result.duplicate) for result in results] == [(State.PENDING, None), (State.COMPLETED, ids[0])]
    assert [result.state for result in await driver.jobs.retake([Retake(id=ids[0], expected_attempt=1)])] == [State.PENDING]
    assert await driver.queues.reconcile() == 0


async def test_atomic_batch_is_refused_whole_where_a_key_is_taken(driver: Driver) -> None:
    first = await store(driver, unique=unique())
    free, taken = new_job(unique=unique(key="free")), new_job(unique=unique())

    answers = await driver.jobs.dispatch([free, taken, new_job(unique=unique(on_conflict=RETURN))], atomic=True)
    within = await driver.jobs.dispatch([free, new_job(unique=unique(key="free"))], atomic=True)

    aborted = Dispatched(ABORTED, None)
    assert answers == [aborted, Dispatched(DUPLICATE, None, first), aborted]
    assert within == [aborted, Dispatched(DUPLICATE, None, free.id)]
    assert await states_of(driver, [free.id, taken.id]) == [None, None]
    assert await is_free(driver, unique(key="free"))


async def test_atomic_batch_may_return_and_replace(driver: Driver) -> None:
    first, second = await store(driver, unique=unique(key="a")), await store(driver, unique=unique(key="b"))
    jobs = [
        new_job(unique=unique(key="a", on_conflict=RETURN)),
        new_job(unique=unique(key="b", on_conflict=REPLACE)),
        new_job(unique=unique(key="c")),
    ]

    answers = await driver.jobs.dispatch([*jobs, jobs[0]], atomic=True)

    existing = Dispatched(EXISTING, State.PENDING, first)
    assert answers == [existing, Dispatched(REPLACED, State.PENDING, second), Dispatched(CREATED, State.PENDING), existing]
    assert await driver.queues.reconcile() == 0


async def test_duplicate_child_is_left_out_and_the_completion_holds(driver: Driver) -> None:
    worker = await connect(driver)
    await store(driver, "r", unique=unique())
    lease = await store_and_run(driver, worker, unique=unique())
    children = (
        new_job("r", parent=lease.id, unique=unique()),
        new_job("q", parent=lease.id, unique=unique()),  # of its parent's key, which is free by now
        new_job("q", parent=lease.id, unique=unique()),
        new_job("q", parent=lease.id),
    )

    await settle_well(driver, worker, lease, Complete(children=children))

    states = await states_of(driver, [lease.id, *(child.id for child in children)])
    assert states == [State.COMPLETED, None, State.PENDING, None, State.PENDING]
    assert await driver.queues.reconcile() == 0


async def test_tick_whose_job_is_a_duplicate_is_missed(driver: Driver, clock: Clock) -> None:
    def make(*args: object) -> NewJob:
        job = schedule_acts.make(*args)  # type: ignore[arg-type] # passed on as they came
        return job._replace(unique=unique())

    await schedule_acts.add(driver, when=MINUTE)
    await skip(driver, clock, await schedule_acts.until_next(driver))
    [first] = await schedule_acts.fire_all(driver, make=make)
    [job] = await schedule_acts.jobs(driver)
    await skip(driver, clock, await schedule_acts.until_next(driver))

    [second] = await schedule_acts.fire_all(driver, make=make)

    assert (len(first.late), first.missed) == (1, 0)
    assert (len(second.late), second.missed, second.refused) == (0, 1, [])
    assert (await schedule_acts.known(driver)).last_job == job.id
    worker = await connect(driver)
    await settle_well(driver, worker, await run(driver, worker, job.id))
    await skip(driver, clock, await schedule_acts.until_next(driver))
    [third] = await schedule_acts.fire_all(driver, make=make)
    assert (len(third.late), third.missed) == (1, 0)
    assert await driver.queues.reconcile() == 0


async def test_producers_that_meet_never_have_two(driver: Driver) -> None:
    for on_conflict in OnConflict:
        jobs = [new_job(unique=unique(on_conflict=on_conflict, key=on_conflict.name), delay=MINUTE) for _ in range(8)]

        answers = await asyncio.gather(*(driver.jobs.dispatch([job], atomic=place % 2 == 1) for place, job in enumerate(jobs)))

        others = {REJECT: DUPLICATE, RETURN: EXISTING, REPLACE: REPLACED, DEBOUNCE: REPLACED}
        assert Counter(answer.verdict for [answer] in answers) == {CREATED: 1, others[on_conflict]: 7}
        states = Counter(await states_of(driver, [job.id for job in jobs]))
        assert states == {State.SCHEDULED: 1, State.CANCELLED if on_conflict in (REPLACE, DEBOUNCE) else None: 7}
        assert await driver.queues.reconcile() == 0


async def test_full_queue_takes_duplicates_and_replacements_and_nobody_drops_for_them(driver: Driver) -> None:
    await _bound(driver, Overflow.REJECT)
    first, second = [await store(driver, unique=unique(key=key), delay=MINUTE) for key in "ab"]
    jobs = [
        new_job(unique=unique(key="c")),
        new_job(unique=unique(key="c", on_conflict=RETURN)),
        new_job(unique=unique(key="a", on_conflict=RETURN)),
        new_job(unique=unique(key="b", on_conflict=REPLACE)),
    ]

    answers = await driver.jobs.dispatch(jobs)
    await _bound(driver, Overflow.DROP_OLDEST)
    again = await driver.jobs.dispatch([new_job(unique=unique(key="a")), new_job(unique=unique(key="c"))])

    full = Dispatched(DispatchVerdict.FULL, None)
    assert answers == [full, full, Dispatched(EXISTING, State.SCHEDULED, first), Dispatched(REPLACED, State.PENDING, second)]
    assert again == [Dispatched(DUPLICATE, None, first), Dispatched(CREATED, State.PENDING)]
    assert await states_of(driver, [first, jobs[3].id]) == [State.SCHEDULED, None], "one was dropped for one that was stored"
    assert await driver.queues.reconcile() == 0


@pytest.mark.parametrize("on_conflict", [REJECT, REPLACE])
async def test_job_whose_key_is_freed_by_what_is_dropped_needs_room_itself(driver: Driver, on_conflict: OnConflict) -> None:
    await _bound(driver, Overflow.DROP_OLDEST)
    oldest, second = await store(driver, unique=unique()), await store(driver)
    jobs = [new_job(), new_job(unique=unique(on_conflict=on_conflict))]

    answers = await driver.jobs.dispatch(jobs)

    assert answers == [Dispatched(CREATED, State.PENDING)] * 2
    assert await states_of(driver, [oldest, second, *(job.id for job in jobs)]) == [None, None, State.PENDING, State.PENDING]
    assert await driver.queues.reconcile() == 0


async def test_atomic_batch_says_of_what_stands_against_it_the_first_kind_only(driver: Driver) -> None:
    await _bound(driver, Overflow.REJECT)
    first = await store(driver, unique=unique())
    fits, full, taken = new_job(), new_job(), new_job(unique=unique())
    other = new_job(id=first, body=b"other")

    without_room = await driver.jobs.dispatch([fits, full, taken], atomic=True)
    reused = await driver.jobs.dispatch([fits, full, taken, other], atomic=True)

    aborted = Dispatched(ABORTED, None)
    assert without_room == [aborted, Dispatched(DispatchVerdict.FULL, None), aborted]
    assert reused == [aborted, aborted, aborted, Dispatched(DispatchVerdict.REUSED, None)]


async def _bound(driver: Driver, overflow: Overflow) -> None:
    await driver.queues.change("q", lambda old: replace(old, max_depth=2, overflow=overflow))
    await driver.queues.settings(-1)

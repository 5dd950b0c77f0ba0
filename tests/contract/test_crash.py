"""Workers that die: what happens to their jobs, and what does not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from protojobs_service.domain.job import JobId, Lease
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.outcome import COMPLETE, Cancelled, Crash, Fail, Outcome, Release, ReleaseCause
from protojobs_service.port import Driver, Settlement, SettleVerdict

from tests.contract.acts import (
    EXACT,
    FAIL,
    MINUTE,
    SECOND,
    claim,
    connect,
    die,
    during,
    held,
    new_job,
    outcomes_of,
    pass_time,
    reconnect,
    record,
    retake,
    run,
    settle,
    settle_well,
    skip,
    snooze,
    state_of,
    states_of,
    store,
    store_all,
    store_and_run,
)
from tests.contract.backends import Clock, FakeRoom

pytestmark = pytest.mark.asyncio


async def _crash(driver: Driver, clock: Clock, job_id: JobId) -> Lease:
    """Let a worker die that had begun the job, and rescue it."""
    worker = await connect(driver)
    lease = await run(driver, worker, job_id)
    await die(driver, clock, worker, lease)
    assert len(await driver.sessions.rescue(100)) == 1
    return lease


async def _lose(driver: Driver, clock: Clock, job_id: JobId) -> Lease:
    """Let a worker die of which nobody knows whether it had begun the job, or had even read it; then the job is PENDING again."""
    worker = await connect(driver)
    lease = await run(driver, worker, job_id)
    await die(driver, clock, worker)
    assert len(await driver.sessions.rescue(100)) == 1
    await skip(driver, clock, 61 * SECOND)
    await driver.jobs.promote(100)
    return lease


async def test_started_job_of_a_dead_worker_comes_back_at_once_and_counts_a_crash(driver: Driver, clock: Clock) -> None:
    job_id = await store(driver)

    await _crash(driver, clock, job_id)

    found = await record(driver, job_id)
    assert (found.state, found.attempt, found.failures, found.crashes) == (State.PENDING, 1, 0, 1)
    assert await outcomes_of(driver, job_id) == [(1, Code.CRASHED)]
    assert (await run(driver, await connect(driver), job_id)).attempt == 2


async def test_unstarted_job_of_a_dead_worker_comes_back_and_counts_nothing(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    guilty, innocent = [new_job() for _ in range(2)]
    await store_all(driver, [guilty, innocent])
    lease, _ = await claim(driver, worker)
    await die(driver, clock, worker, lease)

    await driver.sessions.rescue(100)

    found = await record(driver, innocent.id)
    assert (found.state, found.attempt, found.crashes) == (State.PENDING, 1, 0)
    assert await outcomes_of(driver, innocent.id) == [(1, Code.RELEASED)]
    assert (await record(driver, guilty.id)).crashes == 1


async def test_rescue_tells_what_it_applied_and_who_has_work(driver: Driver, clock: Clock, room: FakeRoom) -> None:
    worker = await connect(driver)
    await store_all(driver, [new_job(), new_job()])
    started, unstarted = await claim(driver, worker)
    await die(driver, clock, worker, started)
    room.arrivals.clear()

    applied = await driver.sessions.rescue(100)

    assert {(item.id, item.attempt, item.handle, item.outcome) for item in applied} == {
        (started.id, 1, worker.handle, Crash(started=True)),
        (unstarted.id, 1, worker.handle, Crash(started=False)),
    }
    assert room.told == {"q"}
    assert await driver.sessions.rescue(100) == []


async def test_rescued_jobs_come_before_all_that_wait(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    waiting = await store(driver)
    await die(driver, clock, worker, lease)
    await driver.sessions.rescue(100)

    leases = await claim(driver, await connect(driver))

    assert [each.id for each in leases] == [lease.id, waiting]


async def test_second_crash_waits_and_the_third_ends_the_job_as_poison(driver: Driver, clock: Clock) -> None:
    job_id = await store(driver)
    await _crash(driver, clock, job_id)
    worker = await connect(driver)
    second = await run(driver, worker, job_id)
    await die(driver, clock, worker, second)

    _, span = await during(driver, driver.sessions.rescue(100))
    waiting = await record(driver, job_id)
    await skip(driver, clock, 11 * SECOND)
    await driver.jobs.promote(100)
    await _crash(driver, clock, job_id)

    assert (waiting.state, waiting.crashes) == (State.RETRYING, 2)
    assert span.holds(waiting.next_at, plus=10 * SECOND)
    found = await record(driver, job_id)
    assert (found.state, found.reason, found.crashes, found.failures) == (State.FAILED, "POISON", 3, 0)
    assert await outcomes_of(driver, job_id) == [(1, Code.CRASHED), (2, Code.CRASHED), (3, Code.FAILED)]


async def test_job_that_was_lost_with_two_workers_is_a_suspect_from_then_on_and_has_no_crash(driver: Driver, clock: Clock) -> None:
    job_id = await store(driver)

    leases = [await _lose(driver, clock, job_id) for _ in range(5)]

    assert [lease.suspect for lease in leases] == [False, False, True, True, True]
    found = await record(driver, job_id)
    assert (found.state, found.attempt, found.crashes) == (State.PENDING, 5, 0)


async def test_suspect_that_is_lost_alone_ends_as_poison_at_its_fifth_delivery(driver: Driver, clock: Clock) -> None:
    job_id = await store(driver)
    for _ in range(2):
        await _lose(driver, clock, job_id)

    trials: list[Lease] = []
    for _ in range(3):
        trials.append(await _crash(driver, clock, job_id))
        await skip(driver, clock, 11 * SECOND)
        await driver.jobs.promote(100)

    assert [lease.suspect for lease in trials] == [True] * 3
    found = await record(driver, job_id)
    assert (found.state, found.reason, found.attempt, found.crashes) == (State.FAILED, "POISON", 5, 3)


@pytest.mark.parametrize("word", [Release(), Release(cause=ReleaseCause.OVERLOAD), FAIL, snooze(1)])
async def test_any_word_of_a_worker_clears_a_suspect(driver: Driver, clock: Clock, word: Outcome) -> None:
    job_id = await store(driver)
    for _ in range(2):
        await _lose(driver, clock, job_id)
    worker = await connect(driver)

    await settle_well(driver, worker, await run(driver, worker, job_id), word)
    await skip(driver, clock, 61 * SECOND)
    await driver.jobs.promote(100)

    assert not (await run(driver, worker, job_id)).suspect


@pytest.mark.parametrize("cause", [ReleaseCause.NO_RECEIPT, ReleaseCause.NOT_HELD])
async def test_what_a_server_gives_back_unread_clears_no_suspect(driver: Driver, clock: Clock, cause: ReleaseCause) -> None:
    job_id = await store(driver)
    for _ in range(2):
        await _lose(driver, clock, job_id)
    worker = await connect(driver)

    await settle_well(driver, worker, await run(driver, worker, job_id), Release(cause=cause))
    await skip(driver, clock, 61 * SECOND)
    await driver.jobs.promote(100)

    assert (await run(driver, worker, job_id)).suspect


async def test_suspect_that_is_to_run_now_stays_one(driver: Driver, clock: Clock) -> None:
    job_id = await store(driver)
    for _ in range(2):
        await _lose(driver, clock, job_id)
    worker = await connect(driver)
    await run(driver, worker, job_id)
    await die(driver, clock, worker)
    await driver.sessions.rescue(100)
    assert await state_of(driver, job_id) is State.SCHEDULED

    await retake(driver, job_id)

    assert (await run(driver, await connect(driver), job_id)).suspect


async def test_retry_by_hand_of_a_poison_clears_it(driver: Driver, clock: Clock) -> None:
    job_id = await store(driver)
    for _ in range(2):
        await _lose(driver, clock, job_id)
    for _ in range(3):
        await _crash(driver, clock, job_id)
        await skip(driver, clock, 11 * SECOND)
        await driver.jobs.promote(100)

    await retake(driver, job_id)

    assert not (await run(driver, await connect(driver), job_id)).suspect


async def test_settle_of_a_rescued_attempt_is_superseded(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    await store_all(driver, [new_job(), new_job()])
    started, unstarted = await claim(driver, worker)
    await die(driver, clock, worker, started)
    await driver.sessions.rescue(100)

    answers = [await settle(driver, worker, lease) for lease in (started, unstarted)]

    assert [answer.verdict for answer in answers] == [SettleVerdict.SUPERSEDED] * 2
    assert await states_of(driver, [started.id, unstarted.id]) == [State.PENDING] * 2


async def test_frozen_worker_is_rescued_when_its_ttl_is_over_and_not_before(driver: Driver, clock: Clock) -> None:
    ttl = timedelta(seconds=6)
    opened_from = await driver.ping()
    worker = await connect(driver, ttl=ttl)
    opened_to = await driver.ping()
    lease = await store_and_run(driver, worker)
    await driver.sessions.detach(worker.handle, [lease.id], None)

    rescued: Sequence[Settlement] = []
    looked_at = opened_to
    while not rescued:
        assert looked_at < opened_to + ttl, "it was looked at when its ttl was over, and not rescued"
        await pass_time(driver, clock, SECOND / 2)
        looked_at = await driver.ping()
        rescued = await driver.sessions.rescue(100)

    assert await driver.ping() >= opened_from + ttl
    assert [item.id for item in rescued] == [lease.id]
    assert (await record(driver, lease.id)).crashes == 1


async def test_worker_that_is_heard_is_not_rescued(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, ttl=timedelta(seconds=6))
    lease = await store_and_run(driver, worker)

    for _ in range(5):
        await pass_time(driver, clock, 4 * SECOND, alive=[worker])
        assert await driver.sessions.rescue(100) == []

    assert (await settle(driver, worker, lease)).verdict is SettleVerdict.OK


async def test_workers_that_die_long_after_all_was_in_order_are_rescued_one_after_the_other(driver: Driver, clock: Clock) -> None:
    workers = [await connect(driver) for _ in range(3)]
    leases = [await store_and_run(driver, worker) for worker in workers]
    for _ in range(8):
        await pass_time(driver, clock, 10 * SECOND, alive=workers)
        assert await driver.sessions.rescue(100) == []

    for worker, lease in zip(workers, leases, strict=True):
        await die(driver, clock, worker, lease)
        assert [item.id for item in await driver.sessions.rescue(100)] == [lease.id]
        assert await driver.sessions.rescue(100) == []
        workers = workers[1:]
        await pass_time(driver, clock, 2 * SECOND, alive=workers)


async def test_rescue_is_bounded_and_the_next_one_goes_on(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    ids = await store_all(driver, [new_job() for _ in range(5)])
    leases = await claim(driver, worker)
    await die(driver, clock, worker, *leases)

    turns = [len(await driver.sessions.rescue(2)) for _ in range(4)]

    assert turns == [2, 2, 1, 0]
    assert await states_of(driver, ids) == [State.PENDING] * 5


async def test_late_completion_between_two_turns_of_a_rescue_is_accepted_or_superseded(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    ids = await store_all(driver, [new_job() for _ in range(2)])
    leases = await claim(driver, worker)
    await die(driver, clock, worker, *leases)
    [rescued] = await driver.sessions.rescue(1)

    answers = {lease.id: await settle(driver, worker, lease) for lease in leases}

    other = next(job_id for job_id in ids if job_id != rescued.id)
    assert (answers[rescued.id].verdict, answers[other].verdict) == (SettleVerdict.SUPERSEDED, SettleVerdict.OK)
    assert await driver.sessions.rescue(100) == []


async def test_job_whose_cancel_was_asked_for_ends_with_its_worker(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await driver.jobs.cancel([lease.id], MINUTE)
    await die(driver, clock, worker, lease)

    await driver.sessions.rescue(100)

    found = await record(driver, lease.id)
    assert (found.state, found.crashes) == (State.CANCELLED, 0)


async def test_worker_that_comes_back_proves_that_it_lived(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await die(driver, clock, worker, lease)
    await driver.sessions.rescue(100)

    _, opened = await reconnect(driver, worker, [held(lease)])

    assert (list(opened.kept), list(opened.lost)) == ([], [held(lease)])
    found = await record(driver, lease.id)
    assert (found.state, found.crashes) == (State.PENDING, 0)
    assert await outcomes_of(driver, lease.id) == [(1, Code.RELEASED)]


async def test_crash_of_an_attempt_that_is_not_held_stays(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await die(driver, clock, worker, lease)
    await driver.sessions.rescue(100)

    await reconnect(driver, worker)

    assert (await record(driver, lease.id)).crashes == 1


async def test_nobody_takes_back_the_crash_of_another_session(driver: Driver, clock: Clock) -> None:
    lease = await _crash(driver, clock, await store(driver))

    await connect(driver, held=[held(lease)])

    assert (await record(driver, lease.id)).crashes == 1
    assert await outcomes_of(driver, lease.id) == [(1, Code.CRASHED)]


async def test_crash_taken_back_leaves_the_numbers_of_a_final_job(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await die(driver, clock, worker, lease)
    await driver.sessions.rescue(100)
    other = await connect(driver)
    await settle_well(driver, other, await run(driver, other, lease.id))

    await reconnect(driver, worker, [held(lease)])

    found = await record(driver, lease.id)
    assert (found.state, found.crashes) == (State.COMPLETED, 1)
    assert await outcomes_of(driver, lease.id) == [(1, Code.RELEASED), (2, Code.COMPLETED)]


async def test_retry_by_hand_forgives_crashes(driver: Driver, clock: Clock) -> None:
    job_id = await store(driver)
    for _ in range(3):
        await _crash(driver, clock, job_id)
        await skip(driver, clock, 11 * SECOND)
        await driver.jobs.promote(100)
    assert await state_of(driver, job_id) is State.FAILED

    await retake(driver, job_id)
    await _crash(driver, clock, job_id)

    found = await record(driver, job_id)
    assert (found.state, found.attempt, found.crashes) == (State.PENDING, 4, 1)


async def test_unary_lease_counts_as_started(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, unary=True)
    lease = await store_and_run(driver, worker)
    await die(driver, clock, worker)

    await driver.sessions.rescue(100)

    assert (await record(driver, lease.id)).crashes == 1


async def test_unary_lease_past_its_run_timeout_fails_retryably(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, unary=True)
    lease = await store_and_run(driver, worker, policy=replace(EXACT, run_timeout=timedelta(seconds=5)))

    await skip(driver, clock, 4 * SECOND)
    early = await driver.sessions.rescue(100)
    await skip(driver, clock, 2 * SECOND)
    [applied] = await driver.sessions.rescue(100)

    assert list(early) == []
    assert (applied.id, applied.attempt) == (lease.id, 1)
    assert isinstance(applied.outcome, Fail)
    assert (applied.outcome.reason, applied.outcome.retryable) == ("TIMEOUT", True)
    found = await record(driver, lease.id)
    assert (found.state, found.failures, found.crashes) == (State.RETRYING, 1, 0)
    attempts = await driver.jobs.attempts(lease.id)
    assert attempts is not None
    assert [(attempt.outcome, attempt.reason) for attempt in attempts] == [(Code.RETRIED, "TIMEOUT")]
    assert (await settle(driver, worker, lease)).verdict is SettleVerdict.SUPERSEDED


async def test_last_timeout_names_itself_as_the_reason(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, unary=True)
    lease = await store_and_run(driver, worker, policy=replace(EXACT, max_retries=0, run_timeout=timedelta(seconds=1)))
    await skip(driver, clock, 2 * SECOND)

    await driver.sessions.rescue(100)

    found = await record(driver, lease.id)
    assert (found.state, found.reason) == (State.FAILED, "TIMEOUT")


async def test_unary_lease_past_its_cancel_deadline_is_cancelled(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver, unary=True)
    lease = await store_and_run(driver, worker)
    await driver.jobs.cancel([lease.id], 5 * SECOND)

    await skip(driver, clock, 4 * SECOND)
    early = await driver.sessions.rescue(100)
    await skip(driver, clock, 2 * SECOND)
    late = await driver.sessions.rescue(100)

    assert (list(early), list(late)) == ([], [Settlement(lease.id, 1, worker.handle, Cancelled())])
    assert await state_of(driver, lease.id) is State.CANCELLED


async def test_streams_watch_their_own_timeouts_and_deadlines(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, policy=replace(EXACT, run_timeout=timedelta(seconds=1)))
    await driver.jobs.cancel([lease.id], SECOND)
    await skip(driver, clock, 5 * SECOND)

    assert await driver.sessions.rescue(100) == []

    assert (await settle(driver, worker, lease, COMPLETE)).state is State.COMPLETED

"""Ending attempts: one accepted outcome for each, whoever repeats what."""

import asyncio
from dataclasses import replace

import pytest
from protojobs_service.domain.job import Handle
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.outcome import COMPLETE, Cancelled, Complete, Outcome, Release, ReleaseCause
from protojobs_service.port import Driver, Settlement, SettleVerdict

from tests.contract.acts import (
    ERROR,
    FAIL,
    FAIL_FOR_GOOD,
    MINUTE,
    SECOND,
    claim,
    connect,
    die,
    during,
    held,
    new_id,
    new_job,
    numbers_of,
    outcomes_of,
    pass_time,
    reconnect,
    record,
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


async def test_completion_ends_the_job_and_keeps_its_result(driver: Driver) -> None:
    worker = await connect(driver, worker="mia")
    lease = await store_and_run(driver, worker)

    settled, span = await during(driver, settle(driver, worker, lease, Complete(result=b"\x00done")))

    assert (settled.verdict, settled.state, settled.next_at) == (SettleVerdict.OK, State.COMPLETED, None)
    found = await record(driver, lease.id)
    assert (found.state, found.result, found.attempt, found.failures) == (State.COMPLETED, b"\x00done", 1, 0)
    assert span.holds(found.finished_at)
    attempts = await driver.jobs.attempts(lease.id)
    assert attempts is not None
    assert [(a.attempt, a.outcome, a.worker, a.finished_at) for a in attempts] == [(1, Code.COMPLETED, "mia", found.finished_at)]


async def test_completion_without_a_result_has_none(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)

    await settle_well(driver, worker, lease, COMPLETE)

    assert (await record(driver, lease.id)).result is None


async def test_answers_stand_by_place_and_each_outcome_goes_its_way(driver: Driver) -> None:
    worker = await connect(driver)
    ids = await store_all(driver, [new_job() for _ in range(7)])
    leases = await claim(driver, worker)
    outcomes: list[Outcome] = [
        COMPLETE,
        FAIL,
        FAIL_FOR_GOOD,
        snooze(60),
        Release(),
        Cancelled(),
        Complete(result=b"r"),
    ]

    answers = await driver.jobs.settle(
        [Settlement(lease.id, 1, worker.handle, outcome) for lease, outcome in zip(leases, outcomes, strict=True)]
    )

    states = [
        State.COMPLETED,
        State.RETRYING,
        State.FAILED,
        State.SCHEDULED,
        State.PENDING,
        State.CANCELLED,
        State.COMPLETED,
    ]
    assert [(answer.verdict, answer.state) for answer in answers] == [(SettleVerdict.OK, state) for state in states]
    assert await states_of(driver, ids) == states
    assert [(await record(driver, job_id)).next_at for job_id in ids] == [answer.next_at for answer in answers]


async def test_snooze_waits_its_delay_and_counts_nothing(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)

    settled, span = await during(driver, settle(driver, worker, lease, snooze(90)))

    assert (settled.verdict, settled.state) == (SettleVerdict.OK, State.SCHEDULED)
    assert span.holds(settled.next_at, plus=90 * SECOND)
    found = await record(driver, lease.id)
    assert (found.next_at, found.attempt, found.failures, found.crashes) == (settled.next_at, 1, 0, 0)
    assert await outcomes_of(driver, lease.id) == [(1, Code.SNOOZED)]


async def test_failure_for_good_ends_the_job_and_keeps_its_error(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)

    settled = await settle(driver, worker, lease, FAIL_FOR_GOOD)

    assert (settled.verdict, settled.state, settled.next_at) == (SettleVerdict.OK, State.FAILED, None)
    found = await record(driver, lease.id)
    assert (found.state, found.failures, found.last_error) == (State.FAILED, 1, ERROR)
    assert found.finished_at is not None
    attempts = await driver.jobs.attempts(lease.id)
    assert attempts is not None
    assert [(attempt.outcome, attempt.error) for attempt in attempts] == [(Code.FAILED, ERROR)]


async def test_handler_that_stopped_for_a_cancel_ends_the_job(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)

    settled = await settle(driver, worker, lease, Cancelled())

    assert (settled.verdict, settled.state) == (SettleVerdict.OK, State.CANCELLED)
    assert (await record(driver, lease.id)).reason == "CANCELLED"
    assert await outcomes_of(driver, lease.id) == [(1, Code.CANCELLED)]


@pytest.mark.parametrize("cause", list(ReleaseCause))
async def test_release_gives_the_job_back_and_counts_nothing(driver: Driver, room: FakeRoom, cause: ReleaseCause) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    room.arrivals.clear()

    settled = await settle(driver, worker, lease, Release(cause=cause))

    assert (settled.verdict, settled.state, settled.next_at) == (SettleVerdict.OK, State.PENDING, None)
    assert room.told == {"q"}
    found = await record(driver, lease.id)
    assert (found.attempt, found.failures, found.crashes) == (1, 0, 0)
    assert await outcomes_of(driver, lease.id) == [(1, Code.RELEASED)]
    assert (await run(driver, await connect(driver), lease.id)).attempt == 2


async def test_third_return_in_a_row_waits_and_each_next_one_longer(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    job_id = await store(driver)
    waits: list[float] = []

    for _ in range(6):
        lease = await run(driver, worker, job_id)
        settled, span = await during(driver, settle(driver, worker, lease, Release()))
        waits.append(0 if settled.next_at is None else round((settled.next_at - span.first) / SECOND))
        assert settled.state is (State.PENDING if settled.next_at is None else State.SCHEDULED)
        await skip(driver, clock, 9 * SECOND)
        await driver.jobs.promote(100)

    assert waits == [0, 0, 1, 2, 4, 8]


async def test_returns_count_in_a_row_only(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    job_id = await store(driver)
    states: list[State | None] = []
    outcomes: list[Outcome] = [Release(), Release(), snooze(1), Release(), Release(), Release()]

    for outcome in outcomes:
        lease = await run(driver, worker, job_id)
        states.append((await settle_well(driver, worker, lease, outcome)).state)
        await skip(driver, clock, 2 * SECOND)
        await driver.jobs.promote(100)

    assert states == [State.PENDING, State.PENDING, State.SCHEDULED, State.PENDING, State.PENDING, State.SCHEDULED]


async def test_settle_of_an_unknown_job_is_superseded(driver: Driver) -> None:
    worker = await connect(driver)

    [answer] = await driver.jobs.settle([Settlement(new_id(), 1, worker.handle, COMPLETE)])

    assert (answer.verdict, answer.state) == (SettleVerdict.SUPERSEDED, None)


async def test_settle_of_a_job_that_was_never_leased_is_superseded(driver: Driver) -> None:
    worker = await connect(driver)
    job_id = await store(driver)

    answers = await driver.jobs.settle([Settlement(job_id, attempt, worker.handle, COMPLETE) for attempt in (0, 1)])

    assert [answer.verdict for answer in answers] == [SettleVerdict.SUPERSEDED] * 2
    assert await state_of(driver, job_id) is State.PENDING


async def test_settle_by_another_session_is_superseded(driver: Driver) -> None:
    worker, other = await connect(driver), await connect(driver)
    lease = await store_and_run(driver, worker)

    by_other = await settle(driver, other, lease)
    [by_nobody] = await driver.jobs.settle([Settlement(lease.id, 1, Handle(worker.handle + 1000), COMPLETE)])

    assert [by_other.verdict, by_nobody.verdict] == [SettleVerdict.SUPERSEDED] * 2
    assert await state_of(driver, lease.id) is State.RUNNING


@pytest.mark.parametrize("attempt", [0, 1, 3])
async def test_settle_of_another_attempt_is_superseded(driver: Driver, attempt: int) -> None:
    other, worker = await connect(driver), await connect(driver)
    first = await store_and_run(driver, other)
    await settle_well(driver, other, first, Release())
    lease = await run(driver, worker, first.id)

    answer = await settle(driver, worker, lease._replace(attempt=attempt))

    assert answer.verdict is SettleVerdict.SUPERSEDED
    assert await state_of(driver, lease.id) is State.RUNNING


async def test_repeated_settle_is_already_and_changes_nothing(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await settle_well(driver, worker, lease, Complete(result=b"first"))
    before = await record(driver, lease.id)

    answer = await settle(driver, worker, lease, Complete(result=b"second"))

    assert (answer.verdict, answer.state) == (SettleVerdict.ALREADY, State.COMPLETED)
    assert await record(driver, lease.id) == before
    assert await outcomes_of(driver, lease.id) == [(1, Code.COMPLETED)]


@pytest.mark.parametrize("first", [COMPLETE, FAIL, FAIL_FOR_GOOD, snooze(60), Release(), Cancelled()])
async def test_other_outcome_for_an_ended_attempt_is_already(driver: Driver, first: Outcome) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    settled = await settle_well(driver, worker, lease, first)

    answers = [await settle(driver, worker, lease, outcome) for outcome in (COMPLETE, FAIL, Release())]

    assert {(answer.verdict, answer.state) for answer in answers} == {(SettleVerdict.ALREADY, settled.state)}
    assert await state_of(driver, lease.id) is settled.state


async def test_already_tells_the_present_state(driver: Driver) -> None:
    worker, other = await connect(driver), await connect(driver)
    lease = await store_and_run(driver, worker)
    await settle_well(driver, worker, lease, Release())
    again = await run(driver, other, lease.id)

    while_running = await settle(driver, worker, lease, Release())
    await settle_well(driver, other, again, COMPLETE)
    when_done = await settle(driver, worker, lease, Release())

    assert (while_running.verdict, while_running.state) == (SettleVerdict.ALREADY, State.RUNNING)
    assert (when_done.verdict, when_done.state) == (SettleVerdict.ALREADY, State.COMPLETED)


async def test_already_holds_across_streams_of_a_session(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await settle_well(driver, worker, lease)

    resumed, _ = await reconnect(driver, worker, [held(lease)])

    answer = await settle(driver, resumed, lease)
    assert (answer.verdict, answer.state) == (SettleVerdict.ALREADY, State.COMPLETED)


async def test_same_settle_twice_in_one_call_is_accepted_once(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    item = Settlement(lease.id, 1, worker.handle, FAIL)

    answers = await driver.jobs.settle([item, item])

    assert [answer.verdict for answer in answers] == [SettleVerdict.OK, SettleVerdict.ALREADY]
    assert (await record(driver, lease.id)).failures == 1


async def test_concurrent_settles_of_an_attempt_are_accepted_once(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    outcomes: list[Outcome] = [COMPLETE, FAIL, Release(), snooze(60), Complete(result=b"x")] * 4

    answers = await asyncio.gather(*(settle(driver, worker, lease, outcome) for outcome in outcomes))

    verdicts = [answer.verdict for answer in answers]
    assert (verdicts.count(SettleVerdict.OK), verdicts.count(SettleVerdict.ALREADY)) == (1, 19)
    assert len(await outcomes_of(driver, lease.id)) == 1
    assert await state_of(driver, lease.id) is answers[verdicts.index(SettleVerdict.OK)].state


async def test_thousand_jobs_complete_at_once(driver: Driver) -> None:
    worker = await connect(driver)
    ids = await store_all(driver, [new_job() for _ in range(1000)])
    leases = await claim(driver, worker, limit=1000)

    answers = await driver.jobs.settle([Settlement(lease.id, 1, worker.handle, COMPLETE) for lease in leases])

    assert answers == [(SettleVerdict.OK, State.COMPLETED, None)] * 1000
    assert await states_of(driver, ids) == [State.COMPLETED] * 1000


async def test_late_completion_is_accepted_while_nobody_took_the_job_back(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await die(driver, clock, worker, lease)

    settled = await settle(driver, worker, lease)

    assert (settled.verdict, settled.state) == (SettleVerdict.OK, State.COMPLETED)
    assert await driver.sessions.rescue(100) == []


async def test_strict_queue_refuses_what_comes_after_the_expiry(driver: Driver, clock: Clock) -> None:
    await driver.queues.change("q", lambda old: replace(old, strict_leases=True))
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await die(driver, clock, worker, lease)

    settled = await settle(driver, worker, lease)

    assert settled.verdict is SettleVerdict.SUPERSEDED
    assert await state_of(driver, lease.id) is State.RUNNING


async def test_strict_queue_accepts_what_comes_in_time(driver: Driver, clock: Clock) -> None:
    await driver.queues.change("q", lambda old: replace(old, strict_leases=True))
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await pass_time(driver, clock, 20 * SECOND)

    assert (await settle(driver, worker, lease)).verdict is SettleVerdict.OK


async def test_old_handle_of_a_moved_lease_is_told_to_try_again(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    resumed, _ = await reconnect(driver, worker, [held(lease)])

    by_old = await settle(driver, worker, lease)
    by_new = await settle(driver, resumed, lease)

    assert by_old.verdict is SettleVerdict.RETRY_LATER
    assert (by_new.verdict, by_new.state) == (SettleVerdict.OK, State.COMPLETED)


async def test_lease_that_a_resume_did_not_name_is_superseded(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    resumed, _ = await reconnect(driver, worker)

    answers = [await settle(driver, stream, lease) for stream in (worker, resumed)]

    assert [answer.verdict for answer in answers] == [SettleVerdict.SUPERSEDED] * 2
    assert await state_of(driver, lease.id) is State.PENDING


async def test_settle_after_the_session_closed_is_superseded(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await driver.sessions.close(worker.handle, [lease.id])

    assert (await settle(driver, worker, lease)).verdict is SettleVerdict.SUPERSEDED


async def test_settle_of_a_deleted_job_is_refused(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await settle_well(driver, worker, lease, snooze(60))
    await driver.jobs.delete([lease.id])

    answer = await settle(driver, worker, lease, COMPLETE)

    assert answer.verdict in (SettleVerdict.SUPERSEDED, SettleVerdict.ALREADY)
    assert answer.state is None


async def test_children_are_stored_with_the_completion(driver: Driver, room: FakeRoom) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    children = (new_job("next", "a", parent=lease.id), new_job("next", "b", delay=MINUTE, parent=lease.id))
    room.arrivals.clear()

    await settle_well(driver, worker, lease, Complete(children=children))

    assert await states_of(driver, [child.id for child in children]) == [State.PENDING, State.SCHEDULED]
    assert [(await record(driver, child.id)).parent for child in children] == [lease.id] * 2
    assert room.told == {"next"}
    assert (await numbers_of(driver, "next")).counts[State.PENDING] == 1


async def test_child_that_exists_is_skipped_and_the_completion_holds(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    existing, fresh = await store(driver, "other"), new_job("next")

    settled = await settle(driver, worker, lease, Complete(children=(new_job("next", id=existing), fresh)))

    assert (settled.verdict, settled.state) == (SettleVerdict.OK, State.COMPLETED)
    assert (await record(driver, existing)).queue == "other"
    assert await state_of(driver, fresh.id) is State.PENDING


async def test_children_of_a_refused_completion_are_not_stored(driver: Driver) -> None:
    worker, other = await connect(driver), await connect(driver)
    lease = await store_and_run(driver, worker)
    child, grandchild = new_job("next"), new_job("next")

    await settle(driver, other, lease, Complete(children=(child,)))
    await settle_well(driver, worker, lease)
    await settle(driver, worker, lease, Complete(children=(grandchild,)))

    assert await states_of(driver, [child.id, grandchild.id]) == [None, None]


async def test_nothing_to_settle_is_no_answer(driver: Driver) -> None:
    assert list(await driver.jobs.settle([])) == []

"""BulkJobs over every driver: bounded steps, the rules of the single actions, and no harm by repeating a step."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from protojobs_service.application import Action, Bulk, BulkJobs, Done, SystemClock, Wait
from protojobs_service.domain.filter_text import parse
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.unique import OnConflict, Unique, UniqueScope
from protojobs_service.port import Driver, ListQuery

from tests.contract.acts import (
    EXACT,
    FAIL,
    FAIL_FOR_GOOD,
    MINUTE,
    SECOND,
    claim,
    connect,
    new_id,
    new_job,
    numbers_of,
    put_in,
    record,
    run,
    settle_well,
    state_of,
    states_of,
    store,
    store_all,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio


_TARGETS: dict[Action, dict[str, Any]] = {Action.MOVE: {"queue": "other"}, Action.SET_PRIORITY: {"priority": 9}}


def _bulk(action: Action, text: str = "", *, limit: int = 100, **fields: Any) -> Bulk:
    query = ListQuery(where=parse(text), newest_first=False, limit=limit)
    return Bulk(action=action, query=query, **_TARGETS.get(action, {}), **fields)


def _jobs(driver: Driver) -> BulkJobs:
    return BulkJobs(driver, Wait(driver, SystemClock()))


async def _begin(driver: Driver, bulk: Bulk) -> Bulk:
    """Return the step that acts: that of a Retry has its time fixed."""
    return replace(bulk, before=(await _jobs(driver).step(bulk)).before) if bulk.action is Action.RETRY else bulk


async def _steps(driver: Driver, bulk: Bulk) -> list[Done]:
    done: list[Done] = []
    while True:
        done.append(await _jobs(driver).step(bulk))
        if not done[-1].follows:
            return done
        bulk = replace(bulk, before=done[-1].before, query=replace(bulk.query, after=done[-1].after))


async def _sums(driver: Driver, bulk: Bulk) -> tuple[int, int]:
    done = await _steps(driver, bulk)
    return sum(each.changed for each in done), sum(each.skipped for each in done)


async def _one_of_each(driver: Driver, clock: Clock) -> dict[State, JobId]:
    """Return a job in every state; FAILED, EXPIRED and the like first, because they need the queue for themselves."""
    order = sorted(State, key=lambda state: (not state.is_final, state is not State.RETRYING, state is State.PENDING))
    return {state: await put_in(driver, clock, state, policy=EXACT) for state in order}


TOUCHED: list[tuple[Action, set[State]]] = [
    (Action.RETRY, {State.FAILED}),
    (Action.CANCEL, {State.SCHEDULED, State.PENDING, State.RUNNING, State.RETRYING}),
    (Action.DELETE, set(State) - {State.RUNNING}),
    (Action.MOVE, {State.SCHEDULED, State.PENDING, State.RETRYING}),
    (Action.SET_PRIORITY, {State.SCHEDULED, State.PENDING, State.RETRYING}),
]


@pytest.mark.parametrize(("action", "touched"), TOUCHED, ids=[action.name for action, _ in TOUCHED])
async def test_without_states_an_action_touches_what_it_is_meant_for(
    driver: Driver, clock: Clock, action: Action, touched: set[State]
) -> None:
    jobs = await _one_of_each(driver, clock)
    before = {state: await record(driver, job_id) for state, job_id in jobs.items()}
    bulk = _bulk(action, "queue = q")

    shown = await _sums(driver, replace(bulk, dry_run=True))
    unchanged = {state: await record(driver, job_id) for state, job_id in jobs.items()}
    done = await _sums(driver, bulk)

    assert unchanged == before
    assert shown == done == (len(touched), 0)
    found = dict(zip(jobs, await driver.jobs.get(list(jobs.values())), strict=True))
    assert {state for state, job in found.items() if job != before[state]} == touched


@pytest.mark.parametrize("action", list(Action))
async def test_states_that_are_named_and_do_not_fit_are_skipped(driver: Driver, clock: Clock, action: Action) -> None:
    jobs = await _one_of_each(driver, clock)
    fits = {
        Action.RETRY: set(State) - {State.PENDING, State.RUNNING},
        Action.CANCEL: {State.SCHEDULED, State.PENDING, State.RUNNING, State.RETRYING},
        Action.DELETE: set(State) - {State.RUNNING},
    }.get(action, {State.SCHEDULED, State.PENDING, State.RETRYING})
    states = " , ".join(state.name for state in State)

    changed, skipped = await _sums(driver, _bulk(action, f"state in ({states})"))

    assert (changed, skipped) == (len(fits), len(jobs) - len(fits))


async def test_steps_are_bounded_and_join_to_the_whole(driver: Driver) -> None:
    wanted = await store_all(driver, [new_job(kind="x" if n % 2 else "y") for n in range(15)])

    done = await _steps(driver, _bulk(Action.CANCEL, "kind = x", limit=3))

    assert [each.changed for each in done] == [3, 3, 1]
    states = await states_of(driver, wanted)
    assert states == [State.CANCELLED if n % 2 else State.PENDING for n in range(15)]


async def test_jobs_that_come_after_the_first_step_are_left_alone(driver: Driver, clock: Clock) -> None:
    await store_all(driver, [new_job() for _ in range(3)])
    bulk = _bulk(Action.CANCEL, limit=2)
    first = await _jobs(driver).step(bulk)
    await clock.advance(SECOND)
    late = await store(driver)

    await _sums(driver, replace(bulk, before=first.before, query=replace(bulk.query, after=first.after)))

    assert await state_of(driver, late) is State.PENDING
    assert (await numbers_of(driver)).counts[State.CANCELLED] == 3


async def test_a_repeated_retry_leaves_alone_what_has_failed_again(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    failed, waits = await store_all(driver, [new_job(), new_job(policy=EXACT)])
    for lease, outcome in zip(await claim(driver, worker), (FAIL_FOR_GOOD, FAIL), strict=True):
        await settle_well(driver, worker, lease, outcome)
    step = await _begin(driver, _bulk(Action.RETRY, "state in (failed, retrying)"))
    first = await _jobs(driver).step(step)
    await clock.advance(SECOND)
    for lease, outcome in zip(await claim(driver, worker), (FAIL_FOR_GOOD, FAIL), strict=True):
        await settle_well(driver, worker, lease, outcome)

    again = await _jobs(driver).step(step)

    assert (first.changed, first.skipped) == (2, 0)
    assert (again.changed, again.skipped) == (0, 2)
    assert await states_of(driver, [failed, waits]) == [State.FAILED, State.RETRYING]
    assert await _sums(driver, _bulk(Action.RETRY, "state in (failed, retrying)")) == (2, 0)


async def test_a_retry_skips_a_job_whose_unique_key_another_one_has(driver: Driver) -> None:
    unique = Unique(key="u", scope=UniqueScope.UNTIL_DONE, on_conflict=OnConflict.REJECT)
    first = await store(driver, unique=unique)
    await driver.jobs.cancel([first], MINUTE)
    await store(driver, unique=unique)

    sums = await _sums(driver, _bulk(Action.RETRY, ids=[first]))

    assert sums == (0, 1)
    assert await states_of(driver, [first]) == [State.CANCELLED]


async def test_a_retry_acts_in_its_second_step_only(driver: Driver) -> None:
    worker = await connect(driver)
    job_id = await store(driver)
    await settle_well(driver, worker, await run(driver, worker, job_id), FAIL_FOR_GOOD)

    begun = await _jobs(driver).step(_bulk(Action.RETRY))

    assert (begun.changed, begun.follows, begun.after) == (0, True, None)
    assert await state_of(driver, job_id) is State.FAILED


@pytest.mark.parametrize("action", [Action.CANCEL, Action.DELETE, Action.MOVE, Action.SET_PRIORITY])
async def test_a_repeated_step_finds_nothing_to_do(driver: Driver, action: Action) -> None:
    await store_all(driver, [new_job() for _ in range(3)])
    step = _bulk(action)

    first, again = await _jobs(driver).step(step), await _jobs(driver).step(step)

    assert (first.changed, again.changed) == (3, 0)
    assert (
        sum((await numbers_of(driver, "other" if action is Action.MOVE else "q")).counts.values())
        == (action is not Action.DELETE) * 3
    )


async def test_running_jobs_are_asked_to_end(driver: Driver) -> None:
    worker = await connect(driver)
    job_id = await store(driver)
    await run(driver, worker, job_id)

    assert await _sums(driver, _bulk(Action.CANCEL)) == (1, 0)

    assert (await record(driver, job_id)).cancel_requested
    assert await state_of(driver, job_id) is State.RUNNING


async def test_ids_are_taken_as_they_are(driver: Driver) -> None:
    one, other, done = await store_all(driver, [new_job(), new_job(), new_job()])
    await driver.jobs.cancel([done], MINUTE)

    result = await _sums(driver, _bulk(Action.SET_PRIORITY, ids=[one, done, new_id()]))

    assert result == (1, 2)
    assert [(await record(driver, each)).priority for each in (one, other)] == [9, 5]


async def test_what_is_moved_runs_there_and_its_envelope_says_so(driver: Driver) -> None:
    ids: Sequence[JobId] = await store_all(driver, [new_job(body=b"") for _ in range(3)])

    await _sums(driver, _bulk(Action.MOVE, envelope=lambda envelope: envelope + b"moved"))

    leases = await claim(driver, await connect(driver, "other"))
    assert [(lease.id, lease.envelope) for lease in leases] == [(job_id, job_id + b"moved") for job_id in ids]
    assert await claim(driver, await connect(driver)) == []

"""The log of events: what is in it, its order, and that nobody who reads it misses or repeats anything."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from protojobs_service.domain.errors import CursorExpired, InvalidField
from protojobs_service.domain.event import EventType, JobEvent
from protojobs_service.domain.job import JobId, Progress
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import COMPLETE, Complete, Outcome, Release, ReleaseCause
from protojobs_service.domain.queue import EventLevel
from protojobs_service.port import ClearQuery, Driver, LogPage, LogQuery, News, Position, Settlement

from tests.contract.acts import (
    DAY,
    ERROR,
    EXACT,
    FAIL,
    FAIL_FOR_GOOD,
    MINUTE,
    SECOND,
    Worker,
    claim,
    connect,
    die,
    new_job,
    pass_time,
    put_in,
    retake,
    run,
    settle_well,
    snooze,
    store,
    store_all,
    store_and_run,
)
from tests.contract.backends import Clock

pytestmark = pytest.mark.asyncio


def _any(_queue: str, _kind: str) -> bool:
    return True


async def read_page(driver: Driver, after: Position, **fields: object) -> LogPage:
    """Read one page behind a place."""
    query = LogQuery(after=after, wanted=_any)
    return await driver.events.read(replace(query, **fields))  # type: ignore[arg-type] # of LogQuery


async def read_all(driver: Driver, after: Position | None = None) -> list[JobEvent]:
    """Read everything behind a place, page by page, holding each page to what the port promises."""
    position: dict[int, int] = dict(after or {})
    events: list[JobEvent] = []
    while True:
        page = await read_page(driver, position, limit=3)
        for flush in page.flushes:
            assert flush.seq == position.get(flush.slot, 0) + 1
            assert flush.size >= len(flush.events)
            position[flush.slot] = flush.seq
            events += [event for _, event in flush.events]
        assert {s: n for s, n in page.position.items() if n} == {s: n for s, n in position.items() if n}
        if page.complete:
            return sorted(events, key=lambda event: event.at)


async def end(driver: Driver) -> Position:
    """Return where the log ends."""
    return (await driver.events.end()).position


def short(event: JobEvent) -> tuple[EventType, JobId, int, State | None, State | None]:
    """Return what identifies an event."""
    return event.type, event.id, event.attempt, event.before, event.after


async def test_completion_is_logged_with_the_job_as_it_was_then(driver: Driver) -> None:
    worker = await connect(driver, worker="w1")
    lease = await store_and_run(driver, worker, labels={"a": "b"})
    before = await driver.ping()

    await settle_well(driver, worker, lease)
    [event] = await read_all(driver)

    assert short(event) == (EventType.PROCESSED, lease.id, 1, State.RUNNING, State.COMPLETED)
    assert (event.queue, event.kind, event.worker, event.by_worker) == ("q", "k", "w1", True)
    assert before <= event.at <= await driver.ping()
    assert event.started_at is not None
    assert event.started_at <= event.at
    assert event.job is not None
    assert (event.job.state, event.job.attempt, event.job.labels) == (State.COMPLETED, 1, {"a": "b"})
    assert event.job.finished_at == event.at


async def test_plain_completions_of_one_call_and_of_higher_attempts_keep_their_attempts(driver: Driver) -> None:
    worker = await connect(driver)
    again = await store_and_run(driver, worker)
    await settle_well(driver, worker, again, Release(cause=ReleaseCause.SHUTDOWN))
    jobs = [again.id, *await store_all(driver, [new_job() for _ in range(5)])]
    leases = await claim(driver, worker)
    begin = await end(driver)

    await driver.jobs.settle([Settlement(lease.id, lease.attempt, lease.handle, COMPLETE) for lease in leases])

    events = await read_all(driver, begin)
    assert {(event.id, event.attempt) for event in events} == {(lease.id, lease.attempt) for lease in leases}
    assert {event.id for event in events} == set(jobs)
    assert len(events) == len(jobs)
    assert {event.type for event in events} == {EventType.PROCESSED}


@pytest.mark.parametrize(
    ("outcome", "type_", "after"),
    [
        (FAIL, EventType.RETRYING, State.RETRYING),
        (FAIL_FOR_GOOD, EventType.FAILED, State.FAILED),
        (Complete(result=b"r"), EventType.PROCESSED, State.COMPLETED),
    ],
)
async def test_other_outcomes_are_logged_with_their_error(driver: Driver, outcome: Outcome, type_: EventType, after: State) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker, policy=EXACT)

    await settle_well(driver, worker, lease, outcome)
    [event] = await read_all(driver)

    assert short(event) == (type_, lease.id, 1, State.RUNNING, after)
    assert event.job is not None
    assert event.job.last_error == (None if type_ is EventType.PROCESSED else ERROR)
    assert event.job.next_at == (event.at + timedelta(seconds=10) if after is State.RETRYING else None)
    assert event.job.result is None


@pytest.mark.parametrize("outcome", [snooze(5), Release(cause=ReleaseCause.SHUTDOWN)])
async def test_snooze_and_release_are_no_events(driver: Driver, outcome: Outcome) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)

    await settle_well(driver, worker, lease, outcome)

    assert await read_all(driver) == []


async def test_an_event_tells_of_its_own_attempt_after_the_job_has_gone_on(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    await settle_well(driver, worker, lease, FAIL_FOR_GOOD)
    await retake(driver, lease.id)
    await settle_well(driver, worker, await run(driver, worker, lease.id))

    first, second = await read_all(driver)

    assert (short(first)[0], short(second)[0]) == (EventType.FAILED, EventType.PROCESSED)
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.job is not None
    assert second.job is not None
    assert (first.job.state, first.job.last_error, first.job.attempt) == (State.FAILED, ERROR, 1)
    assert (second.job.state, second.job.last_error, second.job.attempt) == (State.COMPLETED, None, 2)


@pytest.mark.parametrize("state", [State.SCHEDULED, State.PENDING, State.RETRYING])
async def test_cancel_of_a_waiting_job_is_logged_with_the_state_it_left(driver: Driver, clock: Clock, state: State) -> None:
    job_id = await put_in(driver, clock, state)
    begin = await end(driver)

    await driver.jobs.cancel([job_id], MINUTE)
    [event] = await read_all(driver, begin)

    attempt = 2 if state is State.RETRYING else 1
    assert short(event) == (EventType.CANCELLED, job_id, attempt, state, State.CANCELLED)
    assert (event.worker, event.by_worker, event.started_at) == ("", False, None)


async def test_expiry_is_logged_by_the_sweep_and_by_the_claim(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    swept = await put_in(driver, clock, State.EXPIRED)
    claimed = await store(driver, expire_at=await driver.ping() + SECOND)
    await clock.advance(2 * SECOND)
    assert await claim(driver, worker) == []

    events = await read_all(driver)

    assert [short(event) for event in events] == [
        (EventType.EXPIRED, swept, 1, State.PENDING, State.EXPIRED),
        (EventType.EXPIRED, claimed, 1, State.PENDING, State.EXPIRED),
    ]


async def test_rescue_is_logged_as_a_retry_and_at_last_as_a_failure(driver: Driver, clock: Clock) -> None:
    job_id = await store(driver)
    for _ in range(3):
        worker = await connect(driver)
        await pass_time(driver, clock, MINUTE, alive=[worker])
        await driver.jobs.promote(10)
        await die(driver, clock, worker, await run(driver, worker, job_id))
        assert await driver.sessions.rescue(10)

    events = await read_all(driver)

    assert [(event.type, event.attempt, event.after, event.by_worker) for event in events] == [
        (EventType.RETRYING, 1, State.PENDING, False),
        (EventType.RETRYING, 2, State.RETRYING, False),
        (EventType.FAILED, 3, State.FAILED, False),
    ]


async def _delete(driver: Driver, job_id: JobId) -> None:
    await driver.jobs.delete([job_id])


async def _clear(driver: Driver, _job_id: JobId) -> None:
    await driver.queues.clear(ClearQuery(queue="q", states=frozenset(State) - {State.RUNNING}))


@pytest.mark.parametrize("state", [State.PENDING, State.COMPLETED])
@pytest.mark.parametrize("delete", [_delete, _clear])
async def test_deletion_leaves_a_bare_event_and_makes_those_before_it_bare(
    driver: Driver, clock: Clock, state: State, delete: Callable[[Driver, JobId], Awaitable[None]]
) -> None:
    job_id = await put_in(driver, clock, state)
    await clock.advance(SECOND)

    await delete(driver, job_id)
    events = await read_all(driver)

    assert [event.type for event in events] == [EventType.PROCESSED] * (state is State.COMPLETED) + [EventType.DELETED]
    assert short(events[-1]) == (EventType.DELETED, job_id, 1, state, None)
    assert {(event.job, event.queue, event.kind) for event in events} == {(None, "q", "k")}


async def test_the_log_goes_on_from_any_place_with_no_event_lost_or_repeated(driver: Driver) -> None:
    worker = await connect(driver)
    places: list[Position] = [await end(driver)]
    order: list[JobId] = []
    for _ in range(6):
        lease = await store_and_run(driver, worker)
        await settle_well(driver, worker, lease, FAIL_FOR_GOOD if len(order) % 2 else COMPLETE)
        cancelled = await store(driver)
        await driver.jobs.cancel([cancelled], MINUTE)
        order += [lease.id, cancelled]
        places.append(await end(driver))

    for done, place in enumerate(places):
        assert [event.id for event in await read_all(driver, place)] == order[2 * done :]


async def test_reading_stops_where_it_is_told_to(driver: Driver) -> None:
    worker = await connect(driver)
    first, second = await store_and_run(driver, worker), await store_and_run(driver, worker)
    await settle_well(driver, worker, first)
    until = await end(driver)
    await settle_well(driver, worker, second)

    page = await read_page(driver, {}, until=until)

    assert [event.id for flush in page.flushes for _, event in flush.events] == [first.id]
    assert page.complete
    assert [event.id for event in await read_all(driver, page.position)] == [second.id]


async def test_events_of_queues_that_nobody_wants_are_passed_over(driver: Driver) -> None:
    worker = await connect(driver, "a", "b")
    for queue in ("a", "b", "a"):
        await store(driver, queue)
        [lease] = await claim(driver, worker)
        await settle_well(driver, worker, lease)

    page = await read_page(driver, {}, wanted=lambda queue, _kind: queue == "b")

    assert [event.queue for flush in page.flushes for _, event in flush.events] == ["b"]
    assert sum(flush.size for flush in page.flushes) == 3
    assert page.position == await end(driver)


async def test_a_place_whose_events_are_forgotten_is_refused_and_later_ones_are_not(driver: Driver, clock: Clock) -> None:
    worker = await connect(driver)
    before = await end(driver)
    for _ in range(2):
        await settle_well(driver, worker, await store_and_run(driver, worker))
    middle = await end(driver)
    await clock.advance(2 * DAY)
    worker = await connect(driver)
    last = await store_and_run(driver, worker)
    await settle_well(driver, worker, last)

    assert await driver.events.forget(DAY, 1) == 1
    assert await driver.events.forget(DAY, 10) == 1
    assert await driver.events.forget(DAY, 10) == 0

    with pytest.raises(CursorExpired):
        await read_page(driver, before)
    assert [event.id for event in await read_all(driver, middle)] == [last.id]
    assert await read_all(driver, await end(driver)) == []


async def test_a_place_beyond_the_end_is_refused_by_name(driver: Driver) -> None:
    for place in ({slot: seq + 1 for slot, seq in (await end(driver)).items()} or {0: 1}, {77: 1}):
        with pytest.raises(InvalidField, match="cursor"):
            await read_page(driver, place)


async def test_starts_and_progress_are_told_of_the_queues_that_are_asked_for(driver: Driver) -> None:
    worker, other = await connect(driver), await connect(driver, "other")
    lease = await store_and_run(driver, worker)
    await store_and_run(driver, other)
    live = frozenset({"q"})

    started = (await read_page(driver, {}, live=live)).live
    known: dict[tuple[JobId, int], datetime | None] = {(lease.id, 1): None}
    await driver.jobs.update([News(lease.id, 1, worker.handle, Progress(ratio=0.5, message="half", at=await driver.ping()), None)])
    [told] = (await read_page(driver, {}, live=live, known=known)).live
    assert told.job is not None
    assert told.job.progress is not None
    known[lease.id, 1] = told.job.progress.at
    after = (await read_page(driver, {}, live=live, known=known)).live

    assert [short(event) for event in started] == [(EventType.PROCESSING, lease.id, 1, State.PENDING, State.RUNNING)]
    assert short(told) == (EventType.PROGRESS, lease.id, 1, State.RUNNING, State.RUNNING)
    assert (told.job.progress.ratio, told.job.progress.message) == (0.5, "half")
    assert list(after) == []
    assert list((await read_page(driver, {})).live) == []


async def test_the_level_of_events_is_a_setting_of_the_queue(driver: Driver) -> None:
    changed = await driver.queues.change("q", lambda old: replace(old, events=EventLevel.ALL))

    book = await driver.queues.settings(0)

    assert changed.events is EventLevel.ALL
    assert book is not None
    assert book.queues["q"].events is EventLevel.ALL


async def test_readers_beside_writers_see_each_event_once_and_in_order(driver: Driver) -> None:
    """Settles (two outcomes, so both ways of settling) and cancels at once, while two readers follow from the start."""
    worker = await connect(driver)
    running = await store_all(driver, [new_job() for _ in range(40)])
    leases = await claim(driver, worker, limit=40)
    waiting = await store_all(driver, [new_job("other") for _ in range(20)])
    begin = await end(driver)

    async def follow() -> list[JobId]:
        seen: list[JobId] = []
        position: Mapping[int, int] = begin
        while len(seen) < 60:
            page = await read_page(driver, position, limit=7)
            position = page.position
            seen += [event.id for flush in page.flushes for _, event in flush.events]
            await asyncio.sleep(0)
        return seen

    async def settle(worker: Worker, outcomes: Sequence[Settlement]) -> None:
        for item in outcomes:
            await driver.jobs.settle([item])

    async def cancel() -> None:
        for job_id in waiting:
            await driver.jobs.cancel([job_id], MINUTE)

    items = [Settlement(lease.id, 1, worker.handle, COMPLETE if place % 3 else FAIL_FOR_GOOD) for place, lease in enumerate(leases)]
    first, second, *_ = await asyncio.gather(
        follow(), follow(), settle(worker, items[::2]), settle(worker, items[1::2]), cancel(), return_exceptions=False
    )

    assert sorted(first) == sorted(second) == sorted([*running, *waiting])


async def test_a_reader_of_some_states_hears_of_no_other_change_and_goes_on_behind_them_all(driver: Driver, clock: Clock) -> None:
    begin = await end(driver)
    for state in (State.COMPLETED, State.RETRYING):
        await put_in(driver, clock, state)
    failed = await put_in(driver, clock, State.FAILED)
    await driver.jobs.delete([await put_in(driver, clock, State.CANCELLED)])

    page = await read_page(driver, begin, limit=1000, states=frozenset({State.FAILED}))

    assert [(event.id, event.after) for flush in page.flushes for _, event in flush.events] == [(failed, State.FAILED)]
    assert page.position == await end(driver)


async def test_brief_events_have_of_each_envelope_what_is_kept_and_no_stacks(driver: Driver) -> None:
    after, worker = await end(driver), await connect(driver, "q")
    lease = await store_and_run(driver, worker)
    running = await read_page(driver, after, live=frozenset({"q"}), brief=lambda envelope: envelope[:16])
    await settle_well(driver, worker, lease, FAIL_FOR_GOOD)

    ended = await read_page(driver, after, brief=lambda envelope: envelope[:16])

    events = [*running.live, *(event for flush in ended.flushes for _, event in flush.events)]
    assert [event.type for event in events] == [EventType.PROCESSING, EventType.FAILED]
    assert [event.job and event.job.envelope for event in events] == [lease.id, lease.id]
    [_, failed] = events
    assert failed.job is not None
    assert failed.job.last_error == replace(ERROR, stack="")

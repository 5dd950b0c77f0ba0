"""Ticks: each makes one job, whatever happens around it."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from protojobs_service.domain.errors import InvalidField
from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.schedule import Catchup, CatchupMode, Overlap, Schedule
from protojobs_service.port import Driver

from tests.canaries import BODY
from tests.contract.acts import DAY, MINUTE, SECOND, Worker, claim, connect, numbers_of, record, settle_well, state_of
from tests.contract.backends import Clock, FakeRoom
from tests.contract.schedule_acts import HOUR, add, fire_all, firing, jobs, known, make, until_next

pytestmark = pytest.mark.asyncio


async def _tick(driver: Driver, clock: Clock, name: str = "s") -> None:
    """Let the next tick of a schedule come."""
    await clock.advance(await until_next(driver, name))
    await fire_all(driver)


async def _last_job(driver: Driver) -> JobId:
    job_id = (await known(driver)).last_job
    assert job_id is not None
    return job_id


async def test_a_tick_makes_a_job_that_a_worker_gets(driver: Driver, clock: Clock, room: FakeRoom) -> None:
    stored = await add(driver)
    early = await driver.schedules.fire(firing())
    await clock.advance(await until_next(driver))

    fired = await driver.schedules.fire(firing())
    [lease] = await claim(driver, await connect(driver))

    after = await known(driver)
    assert early.seen == 0
    assert (fired.seen, len(fired.late), fired.missed, fired.more) == (1, 1, 0, False)
    assert timedelta() <= fired.late[0] < 5 * SECOND
    assert (lease.queue, lease.kind, lease.envelope) == ("q", "k", lease.id + BODY)
    assert (after.last_at, after.last_job, after.version) == (stored.next_at, lease.id, stored.version)
    assert after.next_at == stored.next_at + MINUTE if stored.next_at else None
    assert frozenset({"q"}) in room.arrivals


async def test_a_tick_is_done_once_however_often_it_is_tried(driver: Driver, clock: Clock) -> None:
    for n in range(20):
        await add(driver, f"s{n}")
    await clock.advance(MINUTE)

    turns = await asyncio.gather(*(driver.schedules.fire(firing()) for _ in range(5)))

    assert sum(len(turn.late) for turn in turns) == 20
    assert len(await jobs(driver)) == 20
    assert (await numbers_of(driver)).counts[State.PENDING] == 20
    assert await driver.queues.reconcile() == 0


DOWN: list[tuple[str, dict[str, Any], int]] = [
    ("skip", {"mode": CatchupMode.SKIP}, 0),
    ("last", {"mode": CatchupMode.LAST}, 1),
    ("all within an hour", {"mode": CatchupMode.ALL}, 1),
    ("all", {"mode": CatchupMode.ALL, "window": DAY}, 6),
    ("at most 4", {"mode": CatchupMode.ALL, "window": DAY, "most": 4}, 4),
]


@pytest.mark.parametrize(("catchup", "expected"), [(fields, n) for _, fields, n in DOWN], ids=[name for name, _, _ in DOWN])
async def test_six_hours_without_a_server(driver: Driver, clock: Clock, catchup: dict[str, Any], expected: int) -> None:
    await add(driver, when=HOUR, catchup=Catchup(**catchup))
    # Two minutes past the hour, or the last tick would not be missed; and six ticks lie behind.
    await clock.advance(await until_next(driver) + 5 * HOUR + 2 * MINUTE)

    turns = await fire_all(driver)
    again = await fire_all(driver)

    assert len(await jobs(driver)) == expected
    assert sum(turn.missed for turn in turns) == 6 - expected
    assert [turn.seen for turn in again] == [0]
    next_at, now = (await known(driver)).next_at, await driver.ping()
    assert next_at is not None
    assert now < next_at <= now + HOUR


async def test_a_turn_is_bounded_and_the_next_one_goes_on(driver: Driver, clock: Clock) -> None:
    for n in range(25):
        await add(driver, f"s{n}")
    await clock.advance(MINUTE)

    turns = await fire_all(driver, schedules=10)

    assert [len(turn.late) for turn in turns] == [10, 10, 5]
    assert len(await jobs(driver)) == 25


async def test_a_thousand_missed_ticks_come_in_bounded_turns(driver: Driver, clock: Clock) -> None:
    for n in range(3):
        await add(driver, f"s{n}", when=SECOND, catchup=Catchup(mode=CatchupMode.ALL, most=100, window=DAY))
    await clock.advance(HOUR)

    turns = await fire_all(driver, jobs=60)

    assert max(len(turn.late) for turn in turns) == 60
    assert 300 <= len(await jobs(driver)) <= 306
    assert (await numbers_of(driver)).counts[State.PENDING] == len(await jobs(driver))


async def test_jitter_lets_a_job_wait(driver: Driver, clock: Clock) -> None:
    await add(driver, when=HOUR, jitter=HOUR)
    await clock.advance(await until_next(driver))

    await fire_all(driver)

    [job] = await jobs(driver)
    last_at = (await known(driver)).last_at
    assert last_at is not None
    assert (job.state, job.next_at is not None and last_at < job.next_at < last_at + HOUR) == (State.SCHEDULED, True)


async def _run_ticks(driver: Driver, clock: Clock, overlap: Overlap) -> Worker:
    """Let a first tick's job run, and another tick come."""
    await add(driver, overlap=overlap)
    worker = await connect(driver)
    await _tick(driver, clock)
    assert len(await claim(driver, worker)) == 1
    await _tick(driver, clock)
    return worker


@pytest.mark.parametrize(
    ("overlap", "expected"), [(Overlap.ALLOW, 2), (Overlap.SKIP, 1), (Overlap.BUFFER_ONE, 1), (Overlap.CANCEL_OLD, 2)]
)
async def test_a_tick_that_meets_the_job_of_the_previous_one(driver: Driver, clock: Clock, overlap: Overlap, expected: int) -> None:
    await _run_ticks(driver, clock, overlap)

    found = await jobs(driver)

    assert len(found) == expected
    assert found[0].state is State.RUNNING
    assert found[0].cancel_requested is (overlap is Overlap.CANCEL_OLD)


async def test_a_buffered_tick_runs_when_the_previous_job_has_ended(driver: Driver, clock: Clock) -> None:
    await add(driver, when=HOUR, overlap=Overlap.BUFFER_ONE)
    worker = await connect(driver, ttl=timedelta(days=2))
    await _tick(driver, clock)
    [lease] = await claim(driver, worker)
    for _ in range(3):
        await clock.advance(HOUR)
        await driver.sessions.beat()
        await fire_all(driver)
    before = len(await jobs(driver))

    await settle_well(driver, worker, lease)
    await clock.advance(MINUTE)
    await fire_all(driver)
    await clock.advance(MINUTE)
    await fire_all(driver)

    after = await jobs(driver)
    assert (before, [job.state for job in after]) == (1, [State.COMPLETED, State.PENDING])
    assert (await known(driver)).buffered_at is None


async def test_cancel_old_ends_a_waiting_job_at_once(driver: Driver, clock: Clock) -> None:
    await add(driver, overlap=Overlap.CANCEL_OLD)
    await _tick(driver, clock)
    first = await _last_job(driver)

    await _tick(driver, clock)

    assert await state_of(driver, first) is State.CANCELLED
    assert await state_of(driver, await _last_job(driver)) is State.PENDING
    assert await driver.queues.reconcile() == 0


async def test_skip_ticks_again_once_the_job_is_final(driver: Driver, clock: Clock) -> None:
    await add(driver, overlap=Overlap.SKIP)
    await _tick(driver, clock)
    first = await _last_job(driver)
    await _tick(driver, clock)
    await driver.jobs.cancel([first], MINUTE)

    await _tick(driver, clock)

    assert len(await jobs(driver)) == 2


async def test_a_schedule_that_makes_no_job_any_more_stops_no_other(driver: Driver, clock: Clock) -> None:
    await add(driver, "a")
    await add(driver, "b")
    await clock.advance(MINUTE)

    def broken(schedule: Schedule, job_id: JobId, run_at: datetime | None) -> NewJob:
        if schedule.name == "a":
            raise InvalidField("job.kind", "is no longer one")
        return make(schedule, job_id, run_at)

    [fired] = await fire_all(driver, make=broken)

    assert list(fired.refused) == [("a", "INVALID_FIELD")]
    assert len(await jobs(driver)) == 1
    next_at = (await known(driver, "a")).next_at
    assert next_at is not None
    assert next_at > await driver.ping()


async def test_an_ended_schedule_ticks_no_more(driver: Driver, clock: Clock) -> None:
    now = await driver.ping()
    await add(driver, when=SECOND, end_at=now + 3 * SECOND)
    await clock.advance(HOUR)

    await fire_all(driver)

    after = await known(driver)
    assert (after.next_at, after.wake_at) == (None, None)


async def test_jobs_of_ticks_are_like_others(driver: Driver, clock: Clock) -> None:
    labels, expire = {"tenant": "acme"}, await driver.ping() + DAY
    await add(driver)
    await clock.advance(MINUTE)

    await fire_all(driver, make=lambda s, i, at: make(s, i, at)._replace(labels=labels, expire_at=expire, priority=9))

    job = await record(driver, await _last_job(driver))
    assert (job.labels, job.expire_at, job.priority) == (labels, expire, 9)


async def test_a_hundred_schedules_of_one_time_tick_once_each(driver: Driver, clock: Clock) -> None:
    for n in range(100):
        await add(driver, f"s{n}", kind=f"k{n % 7}")
    await clock.advance(MINUTE)

    await fire_all(driver, schedules=30)

    found = Counter(job.kind for job in await jobs(driver))
    assert found.total() == 100


async def test_old_ticks_are_forgotten_and_never_come_again(driver: Driver, clock: Clock) -> None:
    await add(driver, when=SECOND)
    await clock.advance(20 * SECOND)
    await fire_all(driver)
    made = len(await jobs(driver))
    await clock.advance(DAY)

    dropped = [await driver.schedules.forget_ticks(HOUR, 15), await driver.schedules.forget_ticks(HOUR, 15)]
    kept = await driver.schedules.forget_ticks(HOUR, 15)

    assert sum(dropped) == made
    assert kept == 0

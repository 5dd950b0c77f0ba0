"""A queue on its way from one store to another: whatever fails on the way, each job is somewhere, and afterwards in one place."""

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast

import pytest
from protojobs_service.application.transfer import LABEL, NotPaused, Report, SameStore, Transfer, other_id
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.domain.job import Draft, JobId, NewJob
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.schedule import Every, Schedule, Spec
from protojobs_service.domain.unique import Unique, UniqueScope
from protojobs_service.drivers.memory import MemoryDriver
from protojobs_service.port import Driver, ListQuery, Retake

from tests.contract.acts import (
    FAIL_FOR_GOOD,
    MINUTE,
    claim,
    connect,
    new_job,
    put_in,
    record,
    settle_well,
    state_of,
    store,
    store_all,
)
from tests.contract.backends import UNIQUE, FakeRoom, NamedFollowUps, fingerprint

pytestmark = pytest.mark.asyncio

HOUR = timedelta(hours=1)


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        """Begin now."""
        self._now = datetime.now(UTC)

    def __call__(self) -> datetime:
        """Return its time."""
        return self._now

    now = __call__

    async def advance(self, span: timedelta) -> None:
        """Move it."""
        self._now += span


CLOCK = HandClock()


class Faults:
    """Ends one call of a driver with an error: the one that is the `at`th of all, before or after it is done."""

    def __init__(self, at: int, *, is_done: bool) -> None:
        """Count from 1."""
        self._left, self._is_done = at, is_done
        self.has_come = False

    def over(self, driver: Driver) -> Driver:
        """Return a driver whose calls count."""
        return cast("Driver", _Gate(driver, self))

    async def call(self, act: Callable[..., Awaitable[Any]], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Do a call, or fail."""
        self._left -= 1
        if self._left:
            return await act(*args, **named)
        self.has_come = True
        if self._is_done:
            await act(*args, **named)
        raise StoreUnavailable


class _Gate:
    def __init__(self, driver: Driver, faults: Faults) -> None:
        self._driver, self._faults = driver, faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver, name)
        if name in ("jobs", "queues", "schedules", "events"):
            return _Gate(found, self._faults)
        if name == "capabilities":
            return found

        async def call(*args: Any, **named: Any) -> Any:
            return await self._faults.call(found, args, named)

        return call


async def memory() -> Driver:
    """Return an empty store."""
    driver = MemoryDriver(fingerprint=fingerprint, clock=CLOCK, rng=Random(1))
    await driver.open(FakeRoom(), NamedFollowUps())
    return driver


def redraft(envelope: bytes, job_id: JobId) -> Draft:
    """Read an envelope of the tests, which says nothing but its id."""
    return Draft(NewJob(job_id, "?", "?", 1, job_id + envelope[16:], unique=UNIQUE.get(envelope[:16])), None)


async def pause(driver: Driver, queue: str = "q") -> None:
    """Pause a queue, and let every replica know it."""
    await driver.queues.change(queue, lambda settings: replace(settings, paused=True))
    await driver.queues.settings(-1)


async def move(source: Driver, target: Driver, **fields: Any) -> Report:
    """Move queue q."""
    return await Transfer(source=source, target=target, queue="q", redraft=redraft, **fields).run()


async def fill(driver: Driver) -> dict[State, list[JobId]]:
    """Store jobs of every state that is moved, one that is not, one of another queue and two schedules; pause the queue."""
    found = {state: [await put_in(driver, CLOCK, state)] for state in (State.FAILED, State.RETRYING, State.COMPLETED)}
    found[State.SCHEDULED] = [await store(driver, delay=HOUR)]
    found[State.PENDING] = await store_all(
        driver, [new_job(unique=Unique(key=f"{n}", scope=UniqueScope.UNTIL_DONE)) for n in range(3)]
    )
    await store(driver, "other")
    for name, queue in (("mine", "q"), ("other", "other")):
        await driver.schedules.change(name, lambda _, now, n=name, q=queue: schedule(n, q, now))  # type: ignore[misc]
    await pause(driver)
    return found


def schedule(name: str, queue: str, now: datetime) -> Schedule:
    """Return an hourly schedule."""
    return Schedule(
        name=name, queue=queue, kind="k", spec=Spec(when=Every(interval=HOUR)), template=b"t", created_at=now, next_at=now + HOUR
    )


async def all_of(driver: Driver) -> dict[JobId, State]:
    """Return the jobs of queue q."""
    return {job.id: job.state for job in (await driver.jobs.list(ListQuery(queues=["q"], limit=2000))).jobs}


async def names_of(driver: Driver) -> list[str]:
    """Return the schedules of queue q."""
    return [each.name for each in await driver.schedules.page("", 100) if each.queue == "q"]


ARRIVED = {
    State.FAILED: State.CANCELLED,
    State.RETRYING: State.SCHEDULED,
    State.SCHEDULED: State.SCHEDULED,
    State.PENDING: State.PENDING,
}


async def test_everything_that_waits_or_has_failed_arrives_and_nothing_of_it_stays() -> None:
    source, target = await memory(), await memory()
    jobs = await fill(source)

    report = await move(source, target)

    assert await all_of(target) == {job_id: ARRIVED[state] for state in ARRIVED for job_id in jobs[state]}
    assert await all_of(source) == dict.fromkeys(jobs[State.COMPLETED], State.COMPLETED)
    assert (await names_of(source), await names_of(target)) == ([], ["mine"])
    assert report.moved == Counter(PENDING=3, SCHEDULED=1, RETRYING=1, FAILED=1)
    assert (report.schedules, report.before, report.running, report.is_whole) == (1, 0, 0, True)


@pytest.mark.parametrize("is_done", [False, True], ids=["before the call", "after the call"])
@pytest.mark.parametrize("store_that_fails", ["source", "target"])
async def test_wherever_it_ends_each_job_is_somewhere_and_a_repetition_finishes(store_that_fails: str, is_done: bool) -> None:
    for at in range(1, 100):
        source, target = await memory(), await memory()
        jobs = await fill(source)
        moved = {job_id: ARRIVED[state] for state in ARRIVED for job_id in jobs[state]}
        faults = Faults(at, is_done=is_done)
        broken = {"source": source, "target": target}
        broken[store_that_fails] = faults.over(broken[store_that_fails])
        with suppress(StoreUnavailable):
            await move(broken["source"], broken["target"])

        somewhere = {**await all_of(source), **await all_of(target)}
        assert somewhere.keys() >= moved.keys(), at
        assert await names_of(source) or await names_of(target), at
        report = await move(source, target)

        assert await all_of(target) == moved, at
        assert (await all_of(source)).keys() == set(jobs[State.COMPLETED]), at
        assert (await names_of(source), await names_of(target)) == ([], ["mine"]), at
        assert report.is_whole
        if not faults.has_come:
            assert at > 3
            return
    pytest.fail("it never ran to its end")


async def test_a_job_keeps_what_it_was_stored_with() -> None:
    source, target = await memory(), await memory()
    job_id = await store(source, priority=8, labels={"a": "b"}, delay=HOUR, expire_at=CLOCK() + 2 * HOUR)
    before = await record(source, job_id)
    await pause(source)

    await move(source, target)

    assert await record(target, job_id) == before


async def test_a_job_that_had_failed_says_so_and_can_be_retried_where_it_arrives() -> None:
    source, target = await memory(), await memory()
    job_id = await put_in(source, CLOCK, State.FAILED)
    await pause(source)

    await move(source, target)

    assert (await record(target, job_id)).labels == {LABEL: "failed"}
    await target.jobs.retake([Retake(id=job_id)])
    worker = await connect(target, "q")
    assert [lease.id for lease in await claim(target, worker, "q")] == [job_id]


async def test_a_running_job_is_counted_and_stays() -> None:
    source, target = await memory(), await memory()
    await store(source)
    worker = await connect(source, "q")
    [lease] = await claim(source, worker, "q")
    await pause(source)

    report = await move(source, target)

    assert report.running == 1
    assert await all_of(target) == {}
    await settle_well(source, worker, lease, FAIL_FOR_GOOD)
    assert await state_of(source, lease.id) is State.FAILED


async def test_a_queue_that_is_not_paused_is_refused_unless_forced() -> None:
    source, target = await memory(), await memory()
    job_id = await store(source)
    moving = Transfer(source=source, target=target, queue="q", redraft=redraft)

    with pytest.raises(NotPaused):
        await moving.run()
    assert await all_of(target) == {}
    await moving.run(force=True)

    assert await all_of(target) == {job_id: State.PENDING}


async def test_a_store_is_not_moved_to_itself() -> None:
    source = await memory()
    job_id = await store(source)

    with pytest.raises(SameStore):
        await move(source, source)

    assert await all_of(source) == {job_id: State.PENDING}


async def test_a_dry_run_counts_and_moves_nothing() -> None:
    source, target = await memory(), await memory()
    await fill(source)
    before = await all_of(source)

    report = await Transfer(source=source, target=target, queue="q", redraft=redraft).count()

    assert report.moved == Counter(PENDING=3, SCHEDULED=1, RETRYING=1, FAILED=1)
    assert report.schedules == 1
    assert (await all_of(source), await all_of(target)) == (before, {})
    assert await names_of(target) == []


async def test_jobs_of_several_pages_are_moved() -> None:
    source, target = await memory(), await memory()
    ids = await store_all(source, [new_job() for _ in range(1201)])
    await pause(source)

    report = await move(source, target)

    assert report.moved == Counter(PENDING=1201)
    assert (await all_of(target)).keys() == set(ids)
    assert await all_of(source) == {}


async def test_a_job_that_the_target_has_run_already_does_not_run_again() -> None:
    source, target = await memory(), await memory()
    job = new_job()
    await store_all(source, [job])
    await store_all(target, [job])
    worker = await connect(target, "q")
    [lease] = await claim(target, worker, "q")
    await settle_well(target, worker, lease)
    await pause(source)

    report = await move(source, target)

    assert await all_of(target) == {job.id: State.COMPLETED}
    assert await all_of(source) == {}
    assert report.before == 1


async def test_another_job_of_the_same_id_keeps_it_from_moving() -> None:
    source, target = await memory(), await memory()
    job = new_job()
    await store_all(source, [job])
    await store_all(target, [new_job(id=job.id, kind="another")])
    await pause(source)

    report = await move(source, target)

    assert report.refused == Counter({"the target has another job of the same id": 1})
    assert await all_of(source) == {job.id: State.PENDING}


async def test_what_the_target_has_deleted_stays_where_it_is() -> None:
    source, target = await memory(), await memory()
    job_id = await store(source)
    await pause(source)
    await move(source, target)
    await pause(target)

    report = await move(target, source)

    assert report.refused == Counter({"the target has known and deleted it; see --new-ids": 1})
    assert await all_of(target) == {job_id: State.PENDING}


async def test_a_queue_goes_back_and_forth_under_ids_that_are_made_of_its_own() -> None:
    source, target = await memory(), await memory()
    job_id = await store(source)
    await pause(source)
    await pause(target)
    await move(source, target)

    await move(target, source, new_ids=True)
    assert await all_of(source) == {other_id(job_id): State.PENDING}
    await move(source, target)
    report = await move(target, source, new_ids=True)

    assert await all_of(source) == {other_id(other_id(job_id)): State.PENDING}
    assert await all_of(target) == {}
    assert report.is_whole


async def test_another_schedule_of_the_same_name_is_left_alone() -> None:
    source, target = await memory(), await memory()
    await store(source)
    await pause(source)
    for driver, created in ((source, CLOCK()), (target, CLOCK() - MINUTE)):
        await driver.schedules.change("mine", lambda _, _now, at=created: schedule("mine", "q", at))  # type: ignore[misc]

    report = await move(source, target)

    assert report.refused == Counter({"another schedule of the same name": 1})
    assert await names_of(source) == ["mine"]


async def test_a_job_whose_unique_key_another_one_has_there_stays() -> None:
    source, target = await memory(), await memory()
    job_id = await store(source, unique=Unique(key="a", scope=UniqueScope.UNTIL_DONE))
    await store(target, unique=Unique(key="a", scope=UniqueScope.UNTIL_DONE))
    await pause(source)

    report = await move(source, target)

    assert report.refused == Counter({"another job has its unique key": 1})
    assert await all_of(source) == {job_id: State.PENDING}


async def test_a_key_that_was_free_once_its_job_had_started_is_not_taken_again() -> None:
    source, target = await memory(), await memory()
    unique = Unique(key="a", scope=UniqueScope.UNTIL_START)
    retried = await put_in(source, CLOCK, State.RETRYING, unique=unique)
    next_one = await store(source, unique=unique)
    await pause(source)

    report = await move(source, target)

    assert report.is_whole
    assert (await all_of(target)).keys() == {retried, next_one}

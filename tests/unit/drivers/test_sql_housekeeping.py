"""What the SQL drivers do in steps: pruning, recounting, clearing and deleting queues; and what a failing step leaves behind."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from protojobs_service.domain.errors import JobRunning, Overloaded, QueueNotEmpty, QueueNotFound, QuotaExceeded, StoreUnavailable
from protojobs_service.domain.job import Handle, JobId, NewJob
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import COMPLETE
from protojobs_service.domain.queue import Retention
from protojobs_service.drivers.sql import claiming, dispatching
from protojobs_service.drivers.sql import jobs as sql_jobs
from protojobs_service.drivers.sql.cold import clear as clearing
from protojobs_service.drivers.sql.cold import recount
from protojobs_service.drivers.sql.cold.base import Cold, Replica
from protojobs_service.drivers.sql.driver import SqlDriver
from protojobs_service.drivers.sql.postgres import PostgresStore
from protojobs_service.drivers.sql.ready import NoRoom
from protojobs_service.drivers.sql.sqlite import SqliteStore
from protojobs_service.drivers.sql.store import Options, Store
from protojobs_service.port import Claim, Cleared, ClearQuery, DispatchVerdict, ListQuery, Opening, Settlement
from sqlalchemy import update

from tests.canaries import BODY
from tests.schema import make_sqlite
from tests.unit.drivers.kit import new_id

pytestmark = pytest.mark.asyncio

HOUR = timedelta(hours=1)
EVERY = frozenset(State) - {State.RUNNING}


@dataclass(slots=True)
class Ground:
    """An opened driver and its store."""

    driver: SqlDriver
    store: Store
    clock: list[int]

    def ahead(self, span: timedelta) -> None:
        """Move the store's clock."""
        self.clock[0] += span // timedelta(microseconds=1)

    async def put(self, n: int, queue: str = "q", **more: Any) -> list[JobId]:
        """Store jobs."""
        jobs = [_job(queue)._replace(**more) for _ in range(n)]
        answers = await self.driver.jobs.dispatch(jobs)
        assert {answer.verdict for answer in answers} == {DispatchVerdict.CREATED}
        return [job.id for job in jobs]

    async def connect(self, queue: str = "q") -> Handle:
        """Open a session."""
        opening = Opening(
            secret=secrets.token_bytes(16),
            stream_no=1,
            worker="w",
            sdk="s",
            sdk_version="1",
            queues=(queue,),
            kinds=(),
            slots=100,
            ttl=HOUR * 1000,
            held=(),
        )
        return (await self.driver.sessions.open(opening)).handle

    async def finish(self, n: int, queue: str = "q", **more: Any) -> list[JobId]:
        """Store jobs and complete them."""
        ids = await self.put(n, queue, **more)
        handle = await self.connect(queue)
        leases = await self.driver.jobs.claim([_claim(handle, queue)])
        await self.driver.jobs.settle([Settlement(each.id, each.attempt, handle, COMPLETE) for each in leases])
        assert {each.id for each in leases} == set(ids)
        return ids

    async def skew(self, state: State, n: int) -> None:
        """Spoil the counters of a state."""
        counter = self.store.tables.counter
        wrong = update(counter).where(counter.c.lane > 0, counter.c.state == state.value).values(n=counter.c.n + n)
        await self.store.run(lambda c: c.execute(wrong).rowcount)

    async def counts(self) -> dict[State, int]:
        """Return what the numbers of the queue say, without zeros."""
        [numbers], _ = await self.driver.queues.stats("q")
        return {state: n for state, n in numbers.counts.items() if n}


def _job(queue: str = "q", kind: str = "k") -> NewJob:
    job_id = JobId(new_id())
    return NewJob(job_id, queue, kind, 5, job_id + BODY)


def _claim(handle: Handle, queue: str = "q", n: int = 100) -> Claim:
    return Claim(handle, (queue,), None, frozenset(), n, 0)


def _fingerprint(queue: str, kind: str, envelope: bytes) -> bytes:
    return bytes(16)


@pytest_asyncio.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def ground(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ground]:
    """Open a driver on a fresh store."""
    clock = [0]
    is_sqlite = request.param == "sqlite"
    url = make_sqlite(tmp_path / "jobs.db") if is_sqlite else str(request.getfixturevalue("postgres_ready_dsn"))
    options = Options(url=url, test_clock=clock)
    store: Store = SqliteStore(options) if is_sqlite else PostgresStore(options)
    driver = SqlDriver(store, fingerprint=_fingerprint, rng=Random(1), replica="a", max_queues=3)
    await driver.open(NoRoom())
    yield Ground(driver, store, clock)
    await driver.close()


async def _cleared(ground: Ground, query: ClearQuery) -> list[Cleared]:
    turns = [await ground.driver.queues.clear(query)]
    while turns[-1].after is not None:
        assert len(turns) < 100
        turns.append(await ground.driver.queues.clear(replace(query, before=turns[0].barrier, after=turns[-1].after)))
    return turns


async def test_pruning_adds_up_to_its_limit_over_pages_with_jobs_that_stay(ground: Ground) -> None:
    await ground.driver.queues.change("q", lambda old: replace(old, retention=Retention(completed=HOUR)))
    await ground.finish(3)
    await ground.finish(1, "kept")
    await ground.finish(3)
    ground.ahead(2 * HOUR)

    assert [await ground.driver.jobs.prune(5) for _ in range(3)] == [5, 1, 0]


@pytest.mark.parametrize("state", [State.PENDING, State.COMPLETED])
async def test_wrong_counters_are_mended(ground: Ground, monkeypatch: pytest.MonkeyPatch, state: State) -> None:
    monkeypatch.setattr(recount, "_PAGE", 2)
    await ground.finish(5)
    await ground.put(2)
    await ground.skew(state, 7)

    assert await ground.driver.queues.reconcile() == 1
    assert await ground.counts() == {State.COMPLETED: 5, State.PENDING: 2}
    assert await ground.driver.queues.reconcile() == 0


async def test_final_jobs_are_recounted_once_an_hour(ground: Ground) -> None:
    await ground.finish(1)
    await ground.driver.queues.reconcile()
    await ground.skew(State.COMPLETED, 1)

    assert await ground.driver.queues.reconcile() == 0
    ground.ahead(HOUR)
    assert await ground.driver.queues.reconcile() == 1
    assert await ground.counts() == {State.COMPLETED: 1}


async def test_difference_is_added_once_though_two_replicas_found_it(ground: Ground) -> None:
    await ground.put(2)
    await ground.skew(State.PENDING, 3)
    store = ground.store
    cold = Cold(tables=store.tables, now=store.now, replica=Replica("b", 1), writer=3, fingerprint=_fingerprint)
    found = [await ground.store.scan(partial(recount.differ, cold=cold, part=recount.Part.MOVING)) for _ in range(2)]
    await ground.put(1)

    mended = [
        await ground.store.run(partial(recount.mend, cold=cold, part=recount.Part.MOVING, found=each)) for each in found if each
    ]

    assert mended == [1, 0]
    assert await ground.counts() == {State.PENDING: 3}


@pytest.mark.parametrize("dry_run", [False, True])
async def test_clear_takes_every_job_in_bounded_pages(ground: Ground, monkeypatch: pytest.MonkeyPatch, *, dry_run: bool) -> None:
    monkeypatch.setattr(clearing, "_SPAN", 3)
    await ground.finish(5)
    await ground.put(5, priority=3)
    await ground.put(5)
    await ground.put(5, kind="other")
    await ground.put(4, delay=HOUR)
    await ground.put(2, "other")
    ground.ahead(timedelta(seconds=1))

    turns = await _cleared(ground, ClearQuery(queue="q", states=EVERY, limit=4, dry_run=dry_run))

    assert sum(turn.deleted for turn in turns) == 24
    assert max(turn.deleted for turn in turns) <= 4
    left = (await ground.driver.jobs.list(ListQuery(limit=100))).jobs
    assert len(left) == (26 if dry_run else 2)


async def test_clear_passes_pending_jobs_that_came_later(ground: Ground) -> None:
    old = await ground.put(3, priority=1)
    ground.ahead(timedelta(seconds=1))
    before = await ground.driver.ping()
    ground.ahead(timedelta(seconds=1))
    young = await ground.put(5, priority=9)

    turns = await _cleared(ground, ClearQuery(queue="q", states=EVERY, limit=2, before=before))

    assert sum(turn.deleted for turn in turns) == len(old)
    assert {record.id for record in (await ground.driver.jobs.list(ListQuery(limit=100))).jobs} == set(young)


async def test_queue_with_final_jobs_only_is_deleted_by_force(ground: Ground) -> None:
    await ground.finish(3)

    with pytest.raises(QueueNotEmpty):
        await ground.driver.queues.delete("q", force=False)
    await ground.driver.queues.delete("q", force=True)

    with pytest.raises(QueueNotFound):
        await ground.driver.queues.delete("q", force=True)
    assert (await ground.driver.jobs.list(ListQuery(limit=100))).jobs == []


async def test_queue_whose_counters_are_wrong_can_be_deleted_by_force(ground: Ground) -> None:
    await ground.finish(1)
    await ground.skew(State.COMPLETED, 2)

    await ground.driver.queues.delete("q", force=True)

    with pytest.raises(QueueNotFound):
        await ground.driver.queues.delete("q", force=True)


async def test_queue_with_a_running_job_loses_nothing(ground: Ground) -> None:
    ids = await ground.put(2)
    await ground.driver.jobs.claim([_claim(await ground.connect(), n=1)])

    with pytest.raises(JobRunning):
        await ground.driver.queues.delete("q", force=True)
    assert len((await ground.driver.jobs.list(ListQuery(limit=100))).jobs) == len(ids)


async def test_only_the_call_that_wants_too_many_queues_is_refused(ground: Ground) -> None:
    await ground.put(1)
    calls = [ground.driver.jobs.dispatch([_job(queue)]) for queue in ("q", "a", "b", "c", "q", "c")]

    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [isinstance(answer, QuotaExceeded) for answer in answers] == [False, False, False, True, False, True]


@pytest.mark.parametrize("step", ["open_handles", "expire_claimed"])
async def test_claimed_jobs_are_handed_out_though_a_later_step_fails(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise Overloaded("no connection to be had")

    monkeypatch.setattr(claiming, step, fail)
    [job_id] = await ground.put(1, expire_at=await ground.driver.ping() + HOUR)

    leases = await ground.driver.jobs.claim([_claim(await ground.connect())])

    assert [lease.id for lease in leases] == [job_id]


async def test_a_batch_that_was_stored_in_part_is_not_said_to_be_refused(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Overloaded("no connection to be had")

    monkeypatch.setattr(dispatching, "store_within", fail)
    plain, later = _job(), _job()._replace(delay=HOUR)

    with pytest.raises(StoreUnavailable, match="with their ids"):
        await ground.driver.jobs.dispatch([plain, later])
    with pytest.raises(Overloaded):
        await ground.driver.jobs.dispatch([later])
    monkeypatch.undo()
    again = await ground.driver.jobs.dispatch([plain, later])

    assert [answer.verdict for answer in again] == [DispatchVerdict.EXISTING, DispatchVerdict.CREATED]


async def test_a_list_of_few_among_many_ends_after_a_bounded_look_and_goes_on(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_jobs, "_FIRST_LOOK", 10)
    monkeypatch.setattr(sql_jobs, "_LONGEST_LOOK", 100)
    [rare] = await ground.put(1, "rare", id=JobId(new_id(-1000)))
    await ground.put(350, "crowd")
    pages: list[list[JobId]] = []
    query: ListQuery | None = ListQuery(queues=["rare"])

    while query is not None:
        page = await ground.driver.jobs.list(query)
        pages.append([record.id for record in page.jobs])
        query = None if page.after is None else replace(query, after=page.after)

    assert pages == [[], [], [], [rare]]

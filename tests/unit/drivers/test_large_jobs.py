"""What a store holds of jobs with large payloads while somebody reads many of them."""

import tracemalloc
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest
import pytest_asyncio
from protojobs_service.application import Action, Bulk, BulkJobs, SystemClock, Wait
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.sql.driver import SqlDriver
from protojobs_service.drivers.sql.migrate import upgrade
from protojobs_service.drivers.sql.sqlite import SqliteStore
from protojobs_service.drivers.sql.store import Options
from protojobs_service.port import ListQuery, LogQuery
from sqlalchemy import delete

from tests.contract.acts import SECOND, list_all, new_job, states_of, store_all
from tests.contract.backends import FakeRoom, fingerprint, unique_of

pytestmark = pytest.mark.asyncio

MIB = 1024 * 1024
T = TypeVar("T")


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> SqliteStore:
    """Return an empty store, not opened."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    await upgrade(url)
    return SqliteStore(Options(url=url))


@pytest_asyncio.fixture
async def driver(store: SqliteStore) -> AsyncIterator[SqlDriver]:
    """Return the driver over a store with 60 jobs of 1 MiB, all of them cancelled."""
    driver = SqlDriver(store, fingerprint=fingerprint, unique_of=unique_of, rng=Random(1), replica="test")
    await driver.open(FakeRoom())
    for _ in range(60):
        [job_id] = await store_all(driver, [new_job(body=bytes(MIB))])
        await driver.jobs.cancel([job_id], SECOND)
    yield driver
    await driver.close()


def _first(envelope: bytes) -> bytes:
    return envelope[:16]


async def _peak(call: Awaitable[T]) -> tuple[T, int]:
    """Return what a call gives, and the most memory that was taken for it at once."""
    tracemalloc.start()
    try:
        return await call, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_a_brief_list_never_has_all_payloads_at_once(driver: SqlDriver) -> None:
    page, peak = await _peak(driver.jobs.list(ListQuery(limit=500, max_bytes=64 * MIB, brief=_first)))

    assert (len(page.jobs), page.after) == (60, None)
    assert peak < 24 * MIB


async def test_brief_events_never_have_all_payloads_at_once(driver: SqlDriver) -> None:
    query = LogQuery(after={}, wanted=lambda _queue, _kind: True, brief=_first)

    page, peak = await _peak(driver.events.read(query))

    assert sum(len(flush.events) for flush in page.flushes) == 60
    assert peak < 24 * MIB


async def test_brief_events_tell_of_jobs_of_which_nothing_is_kept_any_more(driver: SqlDriver, store: SqliteStore) -> None:
    await store.run(lambda c: c.execute(delete(store.tables.job)))

    page = await driver.events.read(LogQuery(after={}, wanted=lambda _queue, _kind: True, brief=_first))

    assert {(event.queue, event.job) for flush in page.flushes for _, event in flush.events} == {("", None)}


async def test_a_bulk_retry_never_has_all_payloads_at_once(driver: SqlDriver) -> None:
    query = ListQuery(states=[State.CANCELLED], limit=1000)
    bulk = Bulk(action=Action.RETRY, query=query, before=await driver.ping())

    done, peak = await _peak(BulkJobs(driver, Wait(driver, SystemClock())).step(bulk))

    assert (done.changed, done.follows) == (60, False)
    assert set(await states_of(driver, [job.id for job in await list_all(driver, ListQuery(brief=_first))])) == {State.PENDING}
    assert peak < 24 * MIB

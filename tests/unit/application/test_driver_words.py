"""What leasing needs of a driver besides the contract: whose word ended an attempt, and children without room."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio
from protojobs_service.domain.job import NewJob
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import Complete, Fail, JobError, Outcome, Release, ReleaseCause
from protojobs_service.drivers.memory import MemoryDriver
from protojobs_service.drivers.sql.driver import SqlDriver
from protojobs_service.drivers.sql.sqlite import SqliteStore
from protojobs_service.drivers.sql.store import Options
from protojobs_service.port import Claim, Driver, Opened, Opening, Settlement, SettleVerdict
from uuid_utils import uuid7

from tests.contract.backends import FakeRoom, fingerprint
from tests.schema import make_sqlite

pytestmark = pytest.mark.asyncio

_OPENING = Opening(
    secret=b"s" * 16,
    stream_no=3,
    worker="w",
    sdk="",
    sdk_version="",
    queues=("q",),
    kinds=(),
    slots=1,
    ttl=timedelta(seconds=7),
    unary=True,
)


@pytest_asyncio.fixture(params=["memory", "sqlite"])
async def driver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Driver]:
    """Open an empty store that holds one queue at most."""
    opened: Driver
    if request.param == "memory":
        opened = MemoryDriver(fingerprint=fingerprint, clock=lambda: datetime.now(UTC), rng=Random(1), max_queues=1)
    else:
        url = make_sqlite(tmp_path / "jobs.db")
        store = SqliteStore(Options(url=url))
        opened = SqlDriver(store, fingerprint=fingerprint, rng=Random(1), replica="test", max_queues=1)
    await opened.open(FakeRoom())
    yield opened
    await opened.close()


@pytest.mark.parametrize("outcome", [Release(cause=ReleaseCause.NO_RECEIPT), Fail(error=JobError(), retryable=False)])
async def test_what_the_server_ended_is_superseded_for_the_session_and_what_the_session_ended_is_already(
    driver: Driver, outcome: Outcome
) -> None:
    opened = await driver.sessions.open(_OPENING)
    verdicts: list[SettleVerdict] = []

    for by_server in (True, False):
        await driver.jobs.dispatch([_job()])
        [lease] = await driver.jobs.claim([_claim(opened)])
        word = Settlement(lease.id, lease.attempt, opened.handle, outcome)
        [first] = await driver.jobs.settle([word._replace(by_server=by_server)])
        [second] = await driver.jobs.settle([word])
        verdicts += [first.verdict, second.verdict]

    assert verdicts == [SettleVerdict.OK, SettleVerdict.SUPERSEDED, SettleVerdict.OK, SettleVerdict.ALREADY]


async def test_a_child_for_which_there_is_no_room_is_left_out_and_the_completion_holds(driver: Driver) -> None:
    opened = await driver.sessions.open(_OPENING)
    await driver.jobs.dispatch([_job()])
    [lease] = await driver.jobs.claim([_claim(opened)])
    good, bad = _job(), _job("another")

    [answer] = await driver.jobs.settle([Settlement(lease.id, 1, opened.handle, Complete(children=(bad, good)))])

    assert (answer.verdict, answer.state) == (SettleVerdict.OK, State.COMPLETED)
    assert [record and record.state for record in await driver.jobs.get([good.id, bad.id])] == [State.PENDING, None]


def _job(queue: str = "q") -> NewJob:
    job_id = uuid7().bytes
    return NewJob(job_id, queue, "kind", 5, job_id + b"body")  # type: ignore[arg-type] # JobId is bytes


def _claim(opened: Opened) -> Claim:
    return Claim(opened.handle, ("q",), None, frozenset(), 1, 0)

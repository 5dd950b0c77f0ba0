"""What a store may hold, at its edge: of a hundred callers at two servers who want the last place, one gets it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from protojobs_service.domain.errors import Overloaded, QuotaExceeded
from protojobs_service.drivers.memory import MemoryDriver
from protojobs_service.drivers.sql.driver import SqlDriver
from protojobs_service.drivers.sql.store import Options
from protojobs_service.port import Dispatched, DispatchVerdict, Driver

from tests.contract.acts import new_job
from tests.contract.backends import FakeRoom, fingerprint, unique_of
from tests.contract.schedule_acts import add
from tests.unit.drivers.kit import SERVERS, ready_url, store_of

pytestmark = pytest.mark.asyncio

MOST = 5
CALLERS = 100
CAPS: Any = {"max_queues": MOST, "max_schedules": MOST}


@pytest_asyncio.fixture(params=[*SERVERS, "memory"])
async def servers(request: pytest.FixtureRequest) -> AsyncGenerator[Sequence[Driver]]:
    """Open a store at two servers; in memory there is one."""
    if request.param == "memory":
        alone = MemoryDriver(fingerprint=fingerprint, clock=lambda: datetime.now(UTC), rng=Random(1), **CAPS)
        await alone.open(FakeRoom())
        yield [alone]
        return
    url = await ready_url(request)
    drivers = [
        SqlDriver(store_of(Options(url=url)), fingerprint=fingerprint, unique_of=unique_of, rng=Random(1), replica=name, **CAPS)
        for name in ("here", "there")
    ]
    for driver in drivers:
        await driver.open(FakeRoom())
    yield drivers
    for driver in drivers:
        await driver.close()


async def test_the_last_queue_is_made_once(servers: Sequence[Driver]) -> None:
    await servers[0].jobs.dispatch([new_job(f"q{n}") for n in range(MOST - 1)])

    calls = [servers[n % len(servers)].jobs.dispatch([new_job(f"last-{n}")]) for n in range(CALLERS)]
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert _stored(answers) == 1
    numbers, _ = await servers[-1].queues.stats(None)
    assert len(numbers) == MOST
    assert await servers[0].jobs.dispatch([new_job("q0")])


async def test_the_last_schedule_is_made_once(servers: Sequence[Driver]) -> None:
    for n in range(MOST - 1):
        await add(servers[0], f"s{n}")

    calls = [add(servers[n % len(servers)], f"last-{n}") for n in range(CALLERS)]
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert _stored(answers) == 1
    assert len(await servers[-1].schedules.page("", 100)) == MOST
    assert (await add(servers[0], "s0")).name == "s0"


async def test_the_last_place_of_a_queue_is_taken_once(servers: Sequence[Driver]) -> None:
    await servers[0].queues.change("q", lambda old: replace(old, max_depth=MOST))
    await servers[-1].queues.settings(0)
    await servers[0].jobs.dispatch([new_job() for _ in range(MOST - 1)])

    calls = [servers[n % len(servers)].jobs.dispatch([new_job()]) for n in range(CALLERS)]
    answers: list[Sequence[Dispatched]] = await asyncio.gather(*calls)

    verdicts = [answer.verdict for [answer] in answers]
    assert verdicts.count(DispatchVerdict.CREATED) == 1
    assert verdicts.count(DispatchVerdict.FULL) == CALLERS - 1


def _stored(answers: Sequence[object]) -> int:
    """Return how many were stored; all others must have been refused for the cap, or before they came to it."""
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    assert all(isinstance(error, Overloaded) for error in errors)
    assert any(isinstance(error, QuotaExceeded) for error in errors)
    return len(answers) - len(errors)

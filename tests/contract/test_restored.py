"""A store that was restored from a backup begins another life, in which no session of before goes on."""

import asyncio
from dataclasses import replace
from typing import cast

import pytest
from protojobs_service.domain.errors import SessionSuperseded, StoreUnavailable
from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.drivers.sql.driver import SqlDriver
from protojobs_service.port import Driver, SettleVerdict

from tests.contract.acts import (
    claim,
    connect,
    held,
    outcomes_of,
    reconnect,
    record,
    run,
    settle,
    settle_well,
    state_of,
    store,
    store_and_run,
)
from tests.contract.backends import Bench
from tests.contract.conftest import EVERY_BACKEND

pytestmark = pytest.mark.asyncio


def on(*names: str) -> pytest.MarkDecorator:
    """Run a test on these backends alone: others are never restored from a backup."""
    return pytest.mark.parametrize("backend", [each for each in EVERY_BACKEND if each.id in names], indirect=True)


every_sql = on("sqlite", "postgres", "mysql")


async def begin_anew(driver: Driver) -> tuple[int, int]:
    """Return how many sessions were refused, and how many jobs they had."""
    renewed = await cast("SqlDriver", driver).sessions.refuse_all()
    return renewed.sessions, renewed.returned


@every_sql
async def test_no_session_of_before_can_be_resumed_or_found(driver: Driver) -> None:
    streaming, unary = await connect(driver), await connect(driver, unary=True)
    left = await connect(driver)
    await driver.sessions.close(left.handle, [])

    assert (await begin_anew(driver))[0] == 3

    for worker in (streaming, unary, left):
        with pytest.raises(SessionSuperseded):
            await driver.sessions.open(replace(worker.opening, stream_no=1_000_000))
        assert await driver.sessions.find(worker.opening.secret) is None
        assert list(await driver.sessions.renew([worker.handle])) == [worker.handle]


@every_sql
async def test_what_ran_waits_again_and_nothing_is_counted(driver: Driver) -> None:
    worker = await connect(driver)
    lease = await store_and_run(driver, worker)
    waiting = await store(driver)

    assert await begin_anew(driver) == (1, 1)

    found = await record(driver, lease.id)
    assert (found.state, found.attempt, found.failures, found.crashes) == (State.PENDING, 1, 0, 0)
    assert await outcomes_of(driver, lease.id) == [(1, Code.RELEASED)]
    assert await state_of(driver, waiting) is State.PENDING


@every_sql
async def test_an_outcome_of_before_is_refused_though_its_attempt_runs_again(driver: Driver) -> None:
    before = await connect(driver)
    old = await store_and_run(driver, before)
    await begin_anew(driver)
    after = await connect(driver)

    new = await run(driver, after, old.id)

    assert (await settle(driver, before, new)).verdict is SettleVerdict.SUPERSEDED
    assert await state_of(driver, old.id) is State.RUNNING
    await settle_well(driver, after, new)


@every_sql
async def test_the_log_of_events_has_another_name(driver: Driver) -> None:
    before = await driver.events.end()

    await begin_anew(driver)

    after = await driver.events.end()
    assert after.name != before.name
    assert after.position == before.position


@every_sql
async def test_it_is_repeated_without_harm(driver: Driver) -> None:
    worker = await connect(driver)
    await begin_anew(driver)

    assert await begin_anew(driver) == (1, 0)

    with pytest.raises(SessionSuperseded):
        await reconnect(driver, worker)
    assert await claim(driver, await connect(driver)) == []


@on("postgres", "mysql")
async def test_a_store_that_another_server_is_on_is_left_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench.twin() as other:
        worker = await connect(other)
        lease = await store_and_run(other, worker)
        monkeypatch.setattr("protojobs_service.drivers.sql.sessions._BEATS_WITHIN_S", 1.0)
        renewing = asyncio.ensure_future(begin_anew(bench.driver))
        while not renewing.done():
            await other.sessions.beat()

        with pytest.raises(StoreUnavailable, match=r"server twin is on this store"):
            await renewing

        assert await state_of(other, lease.id) is State.RUNNING
        _, opened = await reconnect(other, worker, [held(lease)])
        assert list(opened.kept) == [held(lease)]

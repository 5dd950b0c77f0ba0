"""Ten thousand schedules of one moment."""

import asyncio
import time
from datetime import timedelta

import pytest
from protojobs_service.port import Driver

from tests.contract.acts import numbers_of
from tests.contract.backends import Clock
from tests.contract.schedule_acts import add, fire_all, known

pytestmark = [pytest.mark.asyncio, pytest.mark.slow, pytest.mark.timeout(600)]

SCHEDULES, AT_ONCE = 10_000, 8  # fewer than a store has connections
MIDNIGHT = timedelta(days=1)


async def test_ten_thousand_schedules_of_midnight_tick_once_each_in_bounded_turns(driver: Driver, clock: Clock) -> None:
    for start in range(0, SCHEDULES, AT_ONCE):
        await asyncio.gather(*(add(driver, f"s{n}", when=MIDNIGHT) for n in range(start, start + AT_ONCE)))
    midnight = (await known(driver, "s0")).next_at
    assert midnight is not None
    await clock.advance(midnight - await driver.ping() + timedelta(milliseconds=1))
    await driver.maintain()  # the day may be over

    began = time.perf_counter()
    turns = await fire_all(driver)
    took = time.perf_counter() - began

    late = sorted(each for turn in turns for each in turn.late)
    print(f"{driver.name}: {len(late)} ticks in {len(turns)} turns, {took:.1f} s; p99 late {late[len(late) * 99 // 100]}")
    assert len(late) == SCHEDULES
    assert max(len(turn.late) for turn in turns) == 500
    assert sum((await numbers_of(driver)).counts.values()) == SCHEDULES

"""Ten thousand schedules of one moment."""

import time
from datetime import timedelta

import pytest

from tests.contract.acts import numbers_of
from tests.contract.backends import Bench
from tests.contract.schedule_acts import add, fire_all, known

pytestmark = [pytest.mark.asyncio, pytest.mark.slow, pytest.mark.timeout(600)]

SCHEDULES = 10_000
MIDNIGHT = timedelta(days=1)


async def test_ten_thousand_schedules_of_midnight_tick_once_each_in_bounded_turns(bench: Bench) -> None:
    driver, clock = bench.driver, bench.clock
    await add(driver, "s0", when=MIDNIGHT)
    await bench.copy_schedule("s0", [f"s{n}" for n in range(1, SCHEDULES)])
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

"""When the timers of a replica take their turns."""

import asyncio

import pytest

from tests.unit.application.stand import Stand

pytestmark = pytest.mark.asyncio


async def test_timers_wake_together_however_long_their_turns_take(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: dict[str, list[float]] = {"promote": [], "rescue": []}

    async def promote(_limit: int) -> int:
        woken["promote"].append(stand.clock.now)
        await stand.clock.sleep(0.03)
        return 0

    async def rescue(_limit: int) -> list[object]:
        woken["rescue"].append(stand.clock.now)
        await stand.clock.sleep(0.2)
        return []

    monkeypatch.setattr(stand.driver.jobs, "promote", promote)  # a store that takes its time
    monkeypatch.setattr(stand.driver.sessions, "rescue", rescue)  # and longer for this

    async with asyncio.TaskGroup() as tasks:
        began, stop = stand.clock.now, stand.application.upkeep.start(tasks)
        await stand.clock.advance(2.05)
        stop()

    assert [round(at - began, 6) for at in woken["rescue"]] == [0, 0.5, 1, 1.5, 2]
    assert [round(at - began, 6) for at in woken["promote"]] == [round(0.1 * turn, 6) for turn in range(21)]


async def test_a_turn_that_ends_just_before_the_next_one_is_due_leaves_that_one_out(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[float] = []

    async def promote(_limit: int) -> int:
        woken.append(stand.clock.now)
        await stand.clock.sleep(0.095)
        return 0

    monkeypatch.setattr(stand.driver.jobs, "promote", promote)  # a slow store

    async with asyncio.TaskGroup() as tasks:
        began, stop = stand.clock.now, stand.application.upkeep.start(tasks)
        await stand.clock.advance(0.65)
        stop()

    assert [round(at - began, 6) for at in woken] == [0, 0.2, 0.4, 0.6]


async def test_timers_of_a_second_take_their_turns_at_different_instants(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: dict[str, list[float]] = {"beat": [], "expire": [], "unhold": []}

    def note(name: str) -> None:
        woken[name].append(round(stand.clock.now - began, 6))

    async def beat() -> None:
        note("beat")

    async def expire(_limit: int) -> int:
        note("expire")
        return 0

    async def unhold(_limit: int) -> int:
        note("unhold")
        return 0

    monkeypatch.setattr(stand.driver.sessions, "beat", beat)
    monkeypatch.setattr(stand.driver.jobs, "expire", expire)
    monkeypatch.setattr(stand.driver.jobs, "unhold", unhold)

    async with asyncio.TaskGroup() as tasks:
        began, stop = stand.clock.now, stand.application.upkeep.start(tasks)
        await stand.clock.advance(3.05)
        stop()

    assert woken == {"beat": [0, 1, 2, 3], "expire": [0, 0.75, 1.75, 2.75], "unhold": [0, 0.75, 1.75, 2.75]}

"""What a replica's timers ask the store: one look for all that ask together, and no sign is overlooked."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.sql.cold.fleet import found_fleet
from protojobs_service.drivers.sql.cold.signs import Signs
from protojobs_service.drivers.sql.lookout import Lookout
from sqlalchemy import Connection

from tests.unit.drivers.kit import Ground, new_id

pytestmark = pytest.mark.asyncio

T = TypeVar("T")
SECOND = 1_000_000
HOUR = 3600 * SECOND
NOTHING = Signs(version=1, due=False, ticks=False, cancels=False)
SCHEDULE: dict[str, Any] = {
    "version": 1,
    "queue": "q",
    "kind": "k",
    "spec": "{}",
    "template": b"",
    "created_at": 1,
    "catchup_mode": 1,
    "catchup_most": 1,
    "catchup_window": 1,
    "overlap": 1,
    "paused": 0,
}


async def founded(ground: Ground) -> int:
    """Make the row of the fleet; return the store's clock."""
    cold = ground.cold
    await ground.store.run(lambda c: found_fleet(c, cold))
    return await ground.store.ask(cold.clock)


async def add(ground: Ground, table: str, **values: Any) -> None:
    """Insert a row."""
    await ground.store.run(lambda c: c.execute(ground.store.tables.metadata.tables[f"pj_{table}"].insert().values(**values)))


def count_looks(ground: Ground, monkeypatch: pytest.MonkeyPatch, before: Callable[[int], Any] = lambda _: None) -> list[int]:
    """Count what is asked of the store; `before` is called with the number of each, and may raise or return what to wait for."""
    looks: list[int] = []
    ask = ground.store.ask

    async def noted(operation: Callable[[Connection], T], *, vital: bool = False) -> T:
        looks.append(len(looks))
        if (until := before(looks[-1])) is not None:
            await until
        return await ask(operation, vital=vital)

    monkeypatch.setattr(ground.store, "ask", noted)
    return looks


async def test_those_who_ask_together_share_a_look(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    await founded(ground)
    lookout, looks = Lookout(ground.store, ground.cold), count_looks(ground, monkeypatch)

    found = await asyncio.gather(*(lookout.look() for _ in range(3)))

    assert found == [NOTHING] * 3
    assert len(looks) == 1


async def test_whoever_asks_while_a_look_is_on_its_way_has_a_later_one(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    now = await founded(ground)
    begun, go_on = asyncio.Event(), asyncio.Event()

    def hold(number: int) -> Any:
        begun.set()
        return go_on.wait() if number == 0 else None

    lookout, looks = Lookout(ground.store, ground.cold), count_looks(ground, monkeypatch, hold)
    first = asyncio.create_task(lookout.look())
    await begun.wait()
    await add(ground, "schedule", **SCHEDULE, name="s", wake_at=now - SECOND)

    async with asyncio.timeout(30):
        second = await lookout.look()
    go_on.set()
    await first

    assert second.ticks
    assert len(looks) == 2


async def test_a_caller_that_is_cancelled_stops_no_other_one(ground: Ground) -> None:
    await founded(ground)
    lookout = Lookout(ground.store, ground.cold)
    one, other = (asyncio.create_task(lookout.look()) for _ in range(2))
    await asyncio.sleep(0)

    one.cancel()

    assert await other == NOTHING
    assert one.cancelled()


async def test_a_look_that_fails_fails_all_who_share_it_and_the_next_is_a_new_one(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    await founded(ground)

    def fail(number: int) -> None:
        if number == 0:
            raise StoreUnavailable("gone")

    lookout = Lookout(ground.store, ground.cold)
    count_looks(ground, monkeypatch, fail)

    failed = await asyncio.gather(lookout.look(), lookout.look(), return_exceptions=True)

    assert [type(each) for each in failed] == [StoreUnavailable, StoreUnavailable]
    assert await lookout.look() == NOTHING


async def test_whoever_closes_breaks_off_a_look_and_a_later_one_is_a_new_one(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    await founded(ground)
    lookout = Lookout(ground.store, ground.cold)
    count_looks(ground, monkeypatch, lambda number: asyncio.Event().wait() if number == 0 else None)
    for before in (0, 0.05):  # while it waits for others to join, and while the store works
        asked = asyncio.create_task(lookout.look())
        await asyncio.sleep(before)

        await lookout.close()

        with pytest.raises(StoreUnavailable):
            await asked
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "sql-look"]
    assert await lookout.look() == NOTHING


ROWS: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "due": ("due", lambda at: {"id": new_id(), "due_at": at, "state": 1, "lane": 1, "band": 1, "attempt": 0, "size": 1}),
    "ticks": ("schedule", lambda at: {**SCHEDULE, "name": f"at {at}", "wake_at": at}),
    "cancels": ("cancel_request", lambda at: {"id": new_id(), "attempt": 1, "deadline_at": at}),
}


@pytest.mark.parametrize("sign", ROWS)
async def test_a_row_is_its_own_sign_and_no_other(ground: Ground, sign: str) -> None:
    table, values = ROWS[sign]
    now = await founded(ground)
    lookout = Lookout(ground.store, ground.cold)

    await add(ground, table, **values(now))

    assert await lookout.look() == NOTHING._replace(**{sign: True})


@pytest.mark.parametrize("sign", ["due", "ticks"])
async def test_what_comes_later_is_no_sign_yet(ground: Ground, sign: str) -> None:
    table, values = ROWS[sign]
    now = await founded(ground)
    lookout = Lookout(ground.store, ground.cold)
    await add(ground, table, **values(now + HOUR))
    before = await lookout.look()

    ground.clock[0] += HOUR

    assert before == NOTHING
    assert await lookout.look() == NOTHING._replace(**{sign: True})


async def test_a_schedule_that_never_ticks_hides_none_that_does(ground: Ground) -> None:
    now = await founded(ground)
    lookout = Lookout(ground.store, ground.cold)

    await add(ground, "schedule", **SCHEDULE, name="never", wake_at=None)
    alone = await lookout.look()
    await add(ground, "schedule", **SCHEDULE, name="now", wake_at=now)

    assert alone == NOTHING
    assert (await lookout.look()).ticks

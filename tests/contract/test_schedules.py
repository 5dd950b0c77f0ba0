"""Schedules: what is stored of them."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from protojobs_service.domain.errors import Conflict, ScheduleNotFound
from protojobs_service.domain.schedule import Catchup, CatchupMode, Cron, Daily, Overlap
from protojobs_service.domain.schedule_changes import define, pause, remove, resume
from protojobs_service.port import Driver

from tests.canaries import BODY
from tests.contract.acts import DAY, MINUTE, SECOND
from tests.contract.backends import Clock
from tests.contract.schedule_acts import HOUR, add, declare, definition, fire_all, firing, jobs, known, until_next

pytestmark = pytest.mark.asyncio


async def test_a_schedule_is_read_as_it_was_stored(driver: Driver) -> None:
    wanted = definition(
        when=Cron(expression="0 8 * * MON-FRI"),
        zone="Europe/Prague",
        jitter=90 * SECOND,
        queue="mail",
        kind="digest",
        template=b"\x00\xff",
        catchup=Catchup(mode=CatchupMode.ALL, most=7, window=DAY),
        overlap=Overlap.BUFFER_ONE,
    )

    stored = await declare(driver, wanted)

    assert await known(driver) == stored
    assert (stored.spec, stored.template, stored.catchup, stored.overlap) == (
        wanted.spec,
        wanted.template,
        wanted.catchup,
        wanted.overlap,
    )
    assert (stored.queue, stored.kind, stored.version, stored.last_job) == ("mail", "digest", 1, None)
    assert stored.next_at is not None
    assert stored.next_at > await driver.ping()


async def test_nobody_has_a_schedule_that_was_never_stored(driver: Driver) -> None:
    assert await driver.schedules.get("s") is None
    with pytest.raises(ScheduleNotFound):
        await driver.schedules.change("s", pause)
    with pytest.raises(ScheduleNotFound):
        await driver.schedules.change("s", remove())


async def test_schedules_are_listed_by_name_and_page(driver: Driver) -> None:
    for name in ("b", "a", "C", "d.1", "d-1"):
        await add(driver, name)

    first = await driver.schedules.page("", 3)
    rest = await driver.schedules.page(first[-1].name, 3)

    assert [each.name for each in [*first, *rest]] == ["C", "a", "b", "d-1", "d.1"]


async def test_the_same_definition_again_is_the_same_schedule(driver: Driver, clock: Clock) -> None:
    stored = await add(driver)
    await clock.advance(3 * HOUR)

    again = await add(driver)

    assert again == stored
    assert await known(driver) == stored


async def test_a_change_needs_the_etag_that_was_read(driver: Driver) -> None:
    stored = await add(driver)

    changed = await declare(driver, definition(template=b"other"), stored.etag)
    with pytest.raises(Conflict):
        await declare(driver, definition(template=b"third"), stored.etag)
    with pytest.raises(Conflict):
        await driver.schedules.change("s", remove(stored.etag))

    assert (changed.version, (await known(driver)).template) == (2, b"other")


async def test_of_two_that_make_a_schedule_at_once_one_makes_it(driver: Driver) -> None:
    made = await asyncio.gather(*(add(driver, template=bytes([n])) for n in range(5)))

    assert sorted(each.version for each in made) == [1, 2, 3, 4, 5]
    assert [each.name for each in await driver.schedules.page("", 10)] == ["s"]


async def test_a_removed_schedule_leaves_its_jobs_and_its_name(driver: Driver, clock: Clock) -> None:
    old = await add(driver)
    await clock.advance(await until_next(driver))
    await fire_all(driver)

    await driver.schedules.change("s", remove())
    new = await add(driver)

    assert len(await jobs(driver)) == 1
    assert (new.version, new.last_job) == (1, None)
    assert new.etag != old.etag


async def test_a_paused_schedule_does_not_tick_and_catches_nothing_up(driver: Driver, clock: Clock) -> None:
    await add(driver, catchup=Catchup(mode=CatchupMode.ALL, window=DAY))

    await driver.schedules.change("s", pause)
    await clock.advance(HOUR)
    asleep = await fire_all(driver)
    await driver.schedules.change("s", resume)
    awake = await fire_all(driver)
    await clock.advance(await until_next(driver))
    ticked = await fire_all(driver)

    assert [turn.seen for turn in (*asleep, *awake)] == [0, 0]
    assert [len(turn.late) for turn in ticked] == [1]


async def test_edits_that_meet_ticks_are_before_or_after_them(driver: Driver, clock: Clock) -> None:
    await add(driver, when=timedelta(seconds=1), catchup=Catchup(mode=CatchupMode.ALL, most=1000, window=DAY))
    bodies = {BODY}
    for n in range(10):
        await clock.advance(SECOND)
        body = b"edit %d" % n
        bodies.add(body)
        edit = define(
            definition(when=timedelta(seconds=1), catchup=Catchup(mode=CatchupMode.ALL, most=1000, window=DAY), template=body)
        )
        await asyncio.gather(driver.schedules.fire(firing()), driver.schedules.change("s", edit), driver.schedules.fire(firing()))
    await fire_all(driver)

    found = await jobs(driver)
    stored = await known(driver)

    assert stored.version == 11
    assert stored.template == b"edit 9"
    assert {record.envelope[16:] for record in found} <= bodies
    assert 10 <= len(found) <= 12
    assert len({record.id for record in found}) == len(found)


async def test_ticks_after_an_edit_follow_the_new_spec_only(driver: Driver, clock: Clock) -> None:
    await add(driver, when=MINUTE)

    await add(driver, when=HOUR, template=b"hourly")
    await clock.advance(min(await until_next(driver) - 2 * SECOND, 5 * MINUTE))
    early = await fire_all(driver)
    await clock.advance(await until_next(driver))
    await fire_all(driver)

    assert [turn.seen for turn in early] == [0]
    assert [record.envelope[16:] for record in await jobs(driver)] == [b"hourly"]


async def test_daily_times_survive_the_store(driver: Driver) -> None:
    when = Daily(times=((await driver.ping()).time().replace(microsecond=0),), days=(1, 7))

    stored = await add(driver, when=when, zone="Australia/Lord_Howe")

    assert (await known(driver)).spec == stored.spec == replace(stored.spec, when=when)

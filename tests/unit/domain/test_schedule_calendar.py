"""When schedules tick: the rule of clock changes, frozen, and what holds in every zone of the world."""

import itertools
import zoneinfo
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st
from protojobs_service.domain.errors import InvalidField
from protojobs_service.domain.schedule import Cron, Daily, Every, Spec, When
from protojobs_service.domain.schedule_calendar import HORIZON, check_zone, cron, next_after

MADE = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = sorted(zoneinfo.available_timezones() - {"Factory", "localtime"})


def ticks(spec: Spec, after: datetime, count: int) -> list[datetime]:
    """Return the next ticks after a time."""
    found: list[datetime] = []
    while len(found) < count and (tick := next_after(spec, after, MADE)) is not None:
        found.append(tick)
        after = tick
    return found


def local(zone: str, text: str) -> datetime:
    """Return a local time as an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone)).astimezone(UTC)


def shown(spec: Spec, after: str, count: int) -> list[str]:
    """Return the next ticks as the wall shows them: day, time and offset."""
    zone = zoneinfo.ZoneInfo(spec.zone)
    return [each.astimezone(zone).strftime("%d %H:%M %z") for each in ticks(spec, local(spec.zone, after), count)]


GOLDEN: list[tuple[str, str, str, Sequence[str]]] = [
    # Prague: 02:00 becomes 03:00 on 29 March 2026, 03:00 becomes 02:00 on 25 October.
    ("Europe/Prague", "30 2 * * *", "2026-03-28T12:00", ["29 03:00 +0200", "30 02:30 +0200"]),
    ("Europe/Prague", "0 * * * *", "2026-03-29T00:30", ["29 01:00 +0100", "29 03:00 +0200", "29 04:00 +0200"]),
    ("Europe/Prague", "*/30 * * * *", "2026-03-29T01:10", ["29 01:30 +0100", "29 03:00 +0200", "29 03:30 +0200"]),
    ("Europe/Prague", "*/30 2 * * *", "2026-03-28T12:00", ["30 02:00 +0200", "30 02:30 +0200"]),
    ("Europe/Prague", "15,45 2 * * *", "2026-03-28T12:00", ["29 03:00 +0200", "30 02:15 +0200", "30 02:45 +0200"]),
    ("Europe/Prague", "0 3 * * *", "2026-03-28T12:00", ["29 03:00 +0200", "30 03:00 +0200"]),
    ("Europe/Prague", "0 2,3 * * *", "2026-03-28T12:00", ["29 03:00 +0200", "30 02:00 +0200", "30 03:00 +0200"]),
    ("Europe/Prague", "30 2 * * *", "2026-10-24T12:00", ["25 02:30 +0200", "26 02:30 +0100"]),
    ("Europe/Prague", "0 * * * *", "2026-10-25T01:30", ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"]),
    ("Europe/Prague", "*/30 * * * *", "2026-10-25T01:45", [
        "25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100", "25 03:00 +0100"]),
    ("Europe/Prague", "0 3 * * *", "2026-10-24T12:00", ["25 03:00 +0100", "26 03:00 +0100"]),
    # New York: 02:00 becomes 03:00 on 8 March 2026, 02:00 becomes 01:00 on 1 November.
    ("America/New_York", "30 2 * * *", "2026-03-07T12:00", ["08 03:00 -0400", "09 02:30 -0400"]),
    ("America/New_York", "0 * * * *", "2026-03-08T00:30", ["08 01:00 -0500", "08 03:00 -0400"]),
    ("America/New_York", "*/30 * * * *", "2026-03-08T01:10", ["08 01:30 -0500", "08 03:00 -0400", "08 03:30 -0400"]),
    ("America/New_York", "30 1 * * *", "2026-10-31T12:00", ["01 01:30 -0400", "02 01:30 -0500"]),
    ("America/New_York", "0 * * * *", "2026-11-01T00:30", ["01 01:00 -0400", "01 01:00 -0500", "01 02:00 -0500"]),
    ("America/New_York", "*/30 * * * *", "2026-11-01T00:45", [
        "01 01:00 -0400", "01 01:30 -0400", "01 01:00 -0500", "01 01:30 -0500", "01 02:00 -0500"]),
    # Lord Howe moves by half an hour: 02:00 becomes 02:30 on 4 October 2026, 02:00 becomes 01:30 on 5 April.
    ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00", ["04 02:30 +1100", "05 02:15 +1100"]),
    ("Australia/Lord_Howe", "0 * * * *", "2026-10-04T00:30", ["04 01:00 +1030", "04 03:00 +1100", "04 04:00 +1100"]),
    ("Australia/Lord_Howe", "*/30 * * * *", "2026-10-04T01:10", ["04 01:30 +1030", "04 02:30 +1100", "04 03:00 +1100"]),
    ("Australia/Lord_Howe", "0 */4 * * *", "2026-10-03T22:00", ["04 00:00 +1030", "04 04:00 +1100", "04 08:00 +1100"]),
    ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00", ["05 01:45 +1100", "06 01:45 +1030"]),
    ("Australia/Lord_Howe", "*/15 * * * *", "2026-04-05T01:20", [
        "05 01:30 +1100", "05 01:45 +1100", "05 01:30 +1030", "05 01:45 +1030", "05 02:00 +1030"]),
    # Casablanca goes back for Ramadan: 03:00 becomes 02:00 on 15 February 2026, 02:00 becomes 03:00 on 22 March.
    ("Africa/Casablanca", "30 2 * * *", "2026-02-14T12:00", ["15 02:30 +0100", "16 02:30 +0000"]),
    ("Africa/Casablanca", "0 * * * *", "2026-02-15T01:30", ["15 02:00 +0100", "15 02:00 +0000", "15 03:00 +0000"]),
    ("Africa/Casablanca", "30 2 * * *", "2026-03-21T12:00", ["22 03:00 +0100", "23 02:30 +0100"]),
    ("Africa/Casablanca", "*/30 * * * *", "2026-03-22T01:10", ["22 01:30 +0000", "22 03:00 +0100", "22 03:30 +0100"]),
    # Samoa left out the whole of 30 December 2011.
    ("Pacific/Apia", "0 10 * * *", "2011-12-29T00:00", ["29 10:00 -1000", "31 00:00 +1400", "31 10:00 +1400"]),
    # Beirut begins its summer at midnight, which does not exist then.
    ("Asia/Beirut", "0 0 * * *", "2026-03-28T12:00", ["29 01:00 +0300", "30 00:00 +0300"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("zone", "expression", "after", "expected"),
    GOLDEN,
    ids=[f"{zone}-{expression}-{after}" for zone, expression, after, _ in GOLDEN],
)
def test_cron_over_a_change_of_the_clocks(zone: str, expression: str, after: str, expected: Sequence[str]) -> None:
    assert shown(Spec(when=cron(expression), zone=zone), after, len(expected)) == list(expected)


@pytest.mark.parametrize(
    ("zone", "at", "after", "expected"),
    [
        ("Europe/Prague", "02:30", "2026-03-28T12:00", ["29 03:00 +0200", "30 02:30 +0200"]),
        ("Europe/Prague", "02:30", "2026-10-24T12:00", ["25 02:30 +0200", "26 02:30 +0100"]),
        ("America/New_York", "01:30", "2026-10-31T12:00", ["01 01:30 -0400", "02 01:30 -0500"]),
        ("Australia/Lord_Howe", "02:15", "2026-10-03T12:00", ["04 02:30 +1100", "05 02:15 +1100"]),
        ("Africa/Casablanca", "02:30", "2026-03-21T12:00", ["22 03:00 +0100", "23 02:30 +0100"]),
    ],
)
def test_daily_over_a_change_of_the_clocks(zone: str, at: str, after: str, expected: list[str]) -> None:
    assert shown(Spec(when=Daily(times=(time.fromisoformat(at),)), zone=zone), after, 2) == expected


def test_every_follows_elapsed_time_over_a_change_of_the_clocks() -> None:
    spec = Spec(when=Every(interval=timedelta(hours=24), anchor=local("Europe/Prague", "2026-03-28T12:00")), zone="Europe/Prague")

    assert shown(spec, "2026-03-28T12:00", 2) == ["29 13:00 +0200", "30 13:00 +0200"]


def test_every_without_an_anchor_counts_from_when_it_was_made() -> None:
    spec = Spec(when=Every(interval=timedelta(minutes=7)))

    assert ticks(spec, MADE, 2) == [MADE + timedelta(minutes=7), MADE + timedelta(minutes=14)]
    assert ticks(spec, MADE - timedelta(minutes=10), 2) == [MADE - timedelta(minutes=7), MADE]


def test_weekly_ticks_on_its_days_only() -> None:
    spec = Spec(when=Daily(times=(time(9), time(17, 30, 15)), days=(1, 5)), zone="Europe/Prague")

    found = [each.astimezone(zoneinfo.ZoneInfo("Europe/Prague")).strftime("%a %H:%M:%S") for each in ticks(spec, MADE, 5)]

    assert found == ["Fri 09:00:00", "Fri 17:30:15", "Mon 09:00:00", "Mon 17:30:15", "Fri 09:00:00"]


def test_nothing_ticks_before_the_start_or_at_the_end() -> None:
    start, end = MADE + timedelta(minutes=10), MADE + timedelta(minutes=12)
    spec = Spec(when=Every(interval=timedelta(minutes=1), anchor=MADE), start_at=start, end_at=end)

    assert ticks(spec, MADE, 9) == [start, start + timedelta(minutes=1)]


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@Monthly", "0 0 1 * *"),
        ("  5   4 * *\tmon-fri ", "5 4 * * MON-FRI"),
    ],
)
def test_aliases_and_spaces_mean_five_fields(text: str, expression: str) -> None:
    assert cron(text) == Cron(expression=expression)


@pytest.mark.parametrize(
    "text",
    [
        "", "@reboot", "@yearly", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
        "*/0 * * * *", "5-1 * * * *", "a * * * *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30 FEB */2", "1,,2 * * * *",
        "٣ * * * *", "* * * * MON#6", "0 0 * * *\0", "1" * 300 + " * * * *", "* " * 200,
    ],
)  # fmt: skip
def test_impossible_expression_is_refused(text: str) -> None:
    with pytest.raises(InvalidField):
        cron(text)


def test_leap_day_is_possible() -> None:
    assert shown(Spec(when=cron("0 12 29 2 *")), "2026-01-01T00:00", 2) == ["29 12:00 +0000", "29 12:00 +0000"]


@given(st.text(alphabet="0123456789*/,-#LWSUNMOJA @", max_size=30))
def test_text_is_a_schedule_or_refused_as_a_field(text: str) -> None:
    try:
        spec = Spec(when=cron(text))
    except InvalidField:
        return
    first = next_after(spec, MADE, MADE)
    assert first is not None
    assert first > MADE


@pytest.mark.parametrize(
    "name", ["", "Prague", "europe/prague", "Europe/Nowhere", "../etc/passwd", "/etc/localtime", "posixrules", "Europe"]
)
def test_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidField):
        check_zone(name)


def since(year: int) -> st.SearchStrategy[datetime]:
    """Return instants from a year to 2040."""
    first, last = (datetime(each, 1, 2, tzinfo=UTC) for each in (year, 2041))
    return st.integers(0, int((last - first).total_seconds() * 10)).map(lambda n: first + timedelta(milliseconds=100 * n))


instants = since(1970)
minutes = st.sampled_from(["0", "30", "15,45", "*/15", "*", "7-9"])
hours = st.sampled_from(["2", "0", "1-3", "*/4", "*", "23"])
expressions = st.tuples(minutes, hours, st.sampled_from(["* * *", "* * 0", "1 * *", "28-31 * *"])).map(" ".join)
walls = st.times().map(lambda at: at.replace(microsecond=0))
whens: st.SearchStrategy[When] = st.one_of(
    expressions.map(cron),
    st.builds(
        lambda times, days: Daily(times=tuple(sorted(times)), days=tuple(sorted(days))),
        st.sets(walls, min_size=1, max_size=4),
        st.sets(st.integers(1, 7), max_size=3),
    ),
    st.integers(1, 10**6).map(lambda seconds: Every(interval=timedelta(seconds=seconds))),
)


@settings(max_examples=400)
@given(st.sampled_from(ZONES), whens, instants)
def test_ticks_ascend_and_are_the_same_from_wherever_one_looks(zone: str, when: When, after: datetime) -> None:
    spec = Spec(when=when, zone=zone)

    found = ticks(spec, after, 6)

    assert found == sorted(set(found))
    assert found[0] > after
    for before, tick in itertools.pairwise(found):
        between = before + (tick - before) / 2
        assert next_after(spec, between, MADE) == tick
        assert next_after(spec, tick - timedelta(microseconds=1), MADE) == tick


@settings(max_examples=400)
@given(st.sampled_from(ZONES), walls, instants)
def test_a_fixed_time_ticks_once_for_each_day_of_the_calendar(zone: str, at: time, after: datetime) -> None:
    here = zoneinfo.ZoneInfo(zone)
    spec = Spec(when=Daily(times=(at,)), zone=zone)
    day = after.astimezone(here).date() + timedelta(days=2)
    expected: list[datetime] = []
    for ahead in range(4):
        wall = datetime.combine(day + timedelta(days=ahead), at)
        instant = wall.replace(tzinfo=here).astimezone(UTC)
        exists = instant.astimezone(here).replace(tzinfo=None, fold=0) == wall
        # What a change skips ticks at the change: the last instant before it shows less, the tick itself more.
        expected.append(instant if exists else _change_before(instant, here))

    found = [tick for tick in ticks(spec, after, 8) if expected[0] <= tick <= expected[-1]]

    assert found == sorted(set(expected))


def _change_before(instant: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    """Return the last change of the offset before an instant that a gap has pushed behind it, second by second."""
    at = instant.replace(microsecond=0)
    after = at.astimezone(zone).utcoffset()
    low, high = at - timedelta(days=1, hours=1), at
    while high - low > timedelta(seconds=1):
        middle = (low + (high - low) / 2).replace(microsecond=0)
        low, high = (low, middle) if middle.astimezone(zone).utcoffset() == after else (middle, high)
    return high


@settings(max_examples=200)
@given(st.sampled_from(ZONES), st.integers(0, 59), since(1985))
def test_a_wildcard_hour_ticks_whenever_the_wall_shows_its_minute(zone: str, minute: int, after: datetime) -> None:
    here = zoneinfo.ZoneInfo(zone)
    spec = Spec(when=cron(f"{minute} * * * *"), zone=zone)
    start = after.replace(second=0, microsecond=0)
    shows = [at for n in range(1, 60 * 5) if (at := start + timedelta(minutes=n)).astimezone(here).minute == minute]

    found = ticks(spec, start, len(shows))

    assert found == shows


@settings(max_examples=200)
@given(
    st.sampled_from(["Europe/Prague", "America/New_York", "Africa/Casablanca", "America/Sao_Paulo", "Asia/Beirut"]),
    st.sampled_from(["0 * * * *", "*/30 * * * *", "30 2 * * *", "30 1 * * *", "0 0 * * *", "15 3 1 * *", "0 9 * * MON-FRI"]),
    since(1990),
)
def test_cronsim_with_a_zone_of_whole_hours_says_the_same(zone: str, expression: str, after: datetime) -> None:
    walk = CronSim(expression, after.astimezone(zoneinfo.ZoneInfo(zone)))
    theirs = [each for each in (next(walk).astimezone(UTC) for _ in range(6)) if each > after]

    ours = ticks(Spec(when=cron(expression), zone=zone), after, len(theirs))

    assert ours == list(dict.fromkeys(theirs))[: len(ours)]


@given(whens, st.sampled_from(ZONES), st.none() | instants, st.none() | instants, st.integers(0, 3600))
def test_stored_spec_is_read_back_as_it_was(
    when: When, zone: str, start: datetime | None, end: datetime | None, jitter: int
) -> None:
    spec = Spec(when=when, zone=zone, start_at=start, end_at=end, jitter=timedelta(seconds=jitter))

    assert Spec.load(spec.dump()) == spec


def test_time_has_an_end() -> None:
    assert next_after(Spec(when=cron("@daily")), HORIZON, MADE) is None
    assert next_after(Spec(when=cron("@daily")), datetime.max.replace(tzinfo=UTC), MADE) is None

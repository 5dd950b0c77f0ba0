"""When a schedule ticks. Local times follow one rule, that of Debian's cron, whatever changes the clocks:

- A fixed time that a change skips ticks at the change; one that comes twice ticks once, the first time.
- Where minute or hour is a wildcard (`*/30 * * * *`), ticks follow elapsed time: they come wherever the clock shows a matching
  time, so both times when it shows it twice, and not at all when it is skipped.
- `Every` knows no clock on the wall.

cronsim reads the expression and walks the calendar, on times without a zone; what a zone does to them is decided here.
"""

import zoneinfo
from collections.abc import Callable
from copy import copy
from datetime import UTC, datetime, time, timedelta
from functools import cache, lru_cache
from typing import assert_never

from cronsim import CronSim, CronSimError

from protojobs_service.domain.errors import InvalidField
from protojobs_service.domain.schedule import Cron, Daily, Every, Spec

ALIASES = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
MAX_CRON_CHARACTERS = 256
HORIZON = datetime(2300, 1, 1, tzinfo=UTC)
"""Nothing ticks at or after it."""

_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)
_PARSED = 1024
_SOME_TIME = datetime(2000, 1, 1)  # noqa: DTZ001 # a time on the wall
_Match = Callable[[datetime], datetime | None]


def cron(text: str) -> Cron:
    """Return the schedule that five fields or an alias mean. Raises InvalidField, also for days that no calendar has."""
    if len(text) > MAX_CRON_CHARACTERS:
        raise InvalidField("", f"at most {MAX_CRON_CHARACTERS} characters")
    expression = " ".join(text.upper().split())
    if expression.startswith("@"):
        known = ALIASES.get(expression.lower())
        if known is None:
            raise InvalidField("", f"is not one of {', '.join(ALIASES)}")
        expression = known
    if len(expression.split(" ")) != 5:
        raise InvalidField("", "must have five fields: minute, hour, day of month, month, day of week")
    try:
        never = _next_match(expression, _SOME_TIME) is None
    except CronSimError as error:
        raise InvalidField("", f"is not a cron expression: {str(error)[:1].lower()}{str(error)[1:]}") from None
    if never:
        raise InvalidField("", "never ticks")
    return Cron(expression=expression)


def check_zone(name: str) -> str:
    """Return the name of a time zone that exists. Raises InvalidField."""
    if name not in _zones():
        raise InvalidField("", "is no IANA time zone, such as Europe/Prague")
    return name


def next_after(spec: Spec, after: datetime, made_at: datetime) -> datetime | None:
    """Return the first tick later than `after`, in UTC; None where there is none any more.

    made_at: when the schedule was made, the anchor of an Every without one.
    """
    if spec.start_at is not None:
        after = max(after, spec.start_at - timedelta(microseconds=1))
    if after >= HORIZON:
        return None
    match spec.when:
        case Every(interval=interval, anchor=anchor):
            origin = anchor or made_at
            tick = origin + ((after - origin) // interval + 1) * interval
        case Cron(expression=expression):
            found = _next_cron(expression, after, _zone(spec.zone))
            if found is None:
                return None
            tick = found
        case Daily(times=times, days=days):
            tick = _next_fixed(lambda wall: _next_daily(times, days, wall), after, _zone(spec.zone)) or HORIZON
        case _:
            assert_never(spec.when)
    return tick if tick < HORIZON and (spec.end_at is None or tick < spec.end_at) else None


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _zone(name: str) -> zoneinfo.ZoneInfo | None:
    """Return a zone; None where wall and elapsed time are the same."""
    return None if name == "UTC" else zoneinfo.ZoneInfo(name)


def _next_cron(expression: str, after: datetime, zone: zoneinfo.ZoneInfo | None) -> datetime | None:
    def match(wall: datetime) -> datetime | None:
        return _next_match(expression, wall)

    minute, hour, *_ = expression.split(" ")
    if minute.startswith("*") or hour.startswith("*"):
        return _next_elapsed(match, after, zone)
    return _next_fixed(match, after, zone)


def _next_match(expression: str, wall: datetime) -> datetime | None:
    """Return the first time on the wall later than `wall` that matches; None where 50 years hold none. Raises CronSimError."""
    walk = copy(_parsed(expression))
    walk.dt = wall.replace(microsecond=0)
    return next(walk, None)


@lru_cache(maxsize=_PARSED)
def _parsed(expression: str) -> CronSim:
    """Return an expression as cronsim reads it; reading takes longer than walking."""
    return CronSim(expression, _SOME_TIME)


def _next_daily(times: tuple[time, ...], days: tuple[int, ...], wall: datetime) -> datetime:
    for ahead in range(8):
        day = (wall + ahead * _DAY).date()
        if not days or day.isoweekday() in days:
            for at in times:
                found = datetime.combine(day, at)
                if found > wall:
                    return found
    raise AssertionError("a week has every day")


def _next_fixed(match: _Match, after: datetime, zone: zoneinfo.ZoneInfo | None) -> datetime | None:
    """Return the next tick of a fixed time. Later walls never have earlier instants, so the first that is late enough is it."""
    wall = match(_wall(after, zone))
    while wall is not None:
        tick = _instant(wall, zone)
        if tick > after:
            return tick
        wall = match(wall)
    return None


def _next_elapsed(match: _Match, after: datetime, zone: zoneinfo.ZoneInfo | None) -> datetime | None:
    """Return the next tick of a wildcard: within a stretch of one offset the wall and elapsed time go together."""
    start = _wall(after, zone)
    while True:
        wall = match(start)
        if wall is None or zone is None:
            return None if wall is None else wall.replace(tzinfo=UTC)
        offset = _offset(after, zone)
        tick = wall.replace(tzinfo=UTC) - offset
        change = _first_change(after, min(tick, HORIZON), zone)
        if change is None:
            return tick
        # The change itself may tick, so the search goes on just before what the wall shows then.
        after = change
        start = _wall(change, zone) - _SECOND


def _wall(at: datetime, zone: zoneinfo.ZoneInfo | None) -> datetime:
    """Return what the clock on the wall shows."""
    return at.astimezone(zone or UTC).replace(tzinfo=None, fold=0)


def _instant(wall: datetime, zone: zoneinfo.ZoneInfo | None) -> datetime:
    """Return when the wall shows a time for the first time, or the change that skips it."""
    if zone is None:
        return wall.replace(tzinfo=UTC)
    at = wall.replace(tzinfo=zone).astimezone(UTC)
    if _wall(at, zone) == wall:
        return at
    # The offset before the change leads behind it, the one after it before it.
    change = _first_change(wall.replace(tzinfo=zone, fold=1).astimezone(UTC), at, zone)
    return at if change is None else change


def _offset(at: datetime, zone: zoneinfo.ZoneInfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()


def _first_change(after: datetime, until: datetime, zone: zoneinfo.ZoneInfo) -> datetime | None:
    """Return the first instant in (after, until] at which the offset changes.

    Two changes that undo each other within a day are missed: no zone has such.
    """
    before = _offset(after, zone)
    low = after
    while low < until:
        high = min(low + _DAY, until)
        if _offset(high, zone) != before:
            return _bisect(low, high, before, zone)
        low = high
    return None


def _bisect(low: datetime, high: datetime, before: timedelta, zone: zoneinfo.ZoneInfo) -> datetime:
    """Return the first whole second in (low, high] that has not the offset `before`; `high` has not."""
    low = low.replace(microsecond=0)
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if middle <= low:
            break
        if _offset(middle, zone) == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)

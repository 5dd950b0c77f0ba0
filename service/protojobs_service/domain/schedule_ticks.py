"""What a schedule does when its time has come: which ticks run, which are missed, and when it is looked at next. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple, assert_never

from protojobs_service.domain.schedule import CatchupMode, Every, Overlap, Schedule
from protojobs_service.domain.schedule_calendar import next_after

ON_TIME = timedelta(minutes=1)
"""A schedule that is later than this has missed its ticks: servers were away, for a busy one is not so late."""

_COUNTED = 100
_MINUTE, _MICROSECOND = timedelta(minutes=1), timedelta(microseconds=1)
_SHORTEST_RECHECK, _LONGEST_RECHECK = timedelta(seconds=1), timedelta(seconds=15)
_RECHECK_SHARE = 8


class Decision(NamedTuple):
    """ticks: those that make a job now, in their order. missed: how many will never run, counted up to a bound.

    cancels: the job of the previous tick is to be cancelled. schedule: how it goes on; its last job is set by whoever stores it.
    """

    ticks: Sequence[datetime]
    missed: int
    cancels: bool
    schedule: Schedule


def decide(schedule: Schedule, now: datetime, *, active: bool, limit: int) -> Decision:
    """Decide what a schedule whose `wake_at` has come does; active: the job of its previous tick is not final.

    At most `limit` (1 or more) ticks run; what is left of them is due at once.
    """
    due, missed = _caught_up(schedule, now)
    run, rest, buffered = _without_overlap(schedule, due, active=active, limit=limit)
    skipped = len(due) + (schedule.buffered_at is not None) - len(run) - len(rest) - (buffered is not None)
    last = run[-1] if run else schedule.last_at
    following = rest[0] if rest else schedule.next_at
    if following is not None and following <= now and not rest:
        # A store's clock that was set back must not repeat ticks.
        following = next_after(schedule.spec, max(now, last or now), schedule.created_at)
    went_on = replace(schedule, next_at=following, buffered_at=buffered, last_at=last)
    cancels = active and schedule.overlap is Overlap.CANCEL_OLD and bool(run)
    return Decision(run, missed + skipped, cancels, replace(went_on, wake_at=wake(went_on, now)))


def wake(schedule: Schedule, now: datetime) -> datetime | None:
    """Return when a schedule has to be looked at: at its next tick, and every few seconds while one waits for a job's end."""
    if schedule.paused:
        return None
    if schedule.buffered_at is None:
        return schedule.next_at
    wait = min(max((now - schedule.buffered_at) / _RECHECK_SHARE, _SHORTEST_RECHECK), _LONGEST_RECHECK)
    return now + wait if schedule.next_at is None else min(schedule.next_at, now + wait)


def _caught_up(schedule: Schedule, now: datetime) -> tuple[list[datetime], int]:
    """Return the ticks up to now that the catch-up policy lets run, and how many it does not."""
    first = schedule.next_at
    if first is None or first > now:
        return [], 0
    if first > now - ON_TIME:
        return _latest(schedule, first, now, int(ON_TIME.total_seconds()) + 1), 0
    catchup = schedule.catchup
    oldest = max(first, now - catchup.window)
    match catchup.mode:
        case CatchupMode.SKIP:
            chosen: list[datetime] = []
        case CatchupMode.LAST:
            chosen = _latest(schedule, oldest, now, 1)
        case CatchupMode.ALL:
            chosen = _latest(schedule, oldest, now, catchup.most)
        case _:
            assert_never(catchup.mode)
    return chosen, _count(schedule, first, chosen[0] - _MICROSECOND if chosen else now)


def _without_overlap(
    schedule: Schedule, due: Sequence[datetime], *, active: bool, limit: int
) -> tuple[Sequence[datetime], Sequence[datetime], datetime | None]:
    """Return the ticks that run now, those that run in the next turn, and the one that waits."""
    match schedule.overlap:
        case Overlap.ALLOW:
            return due[:limit], due[limit:], None
        case Overlap.SKIP:
            return () if active else due[:1], (), None
        case Overlap.CANCEL_OLD:
            return due[-1:], (), None
        case Overlap.BUFFER_ONE:
            waiting = [*([] if schedule.buffered_at is None else [schedule.buffered_at]), *due]
            run = [] if active else waiting[:1]
            return run, (), next(iter(waiting[len(run) :]), None)
        case _:
            assert_never(schedule.overlap)


def _latest(schedule: Schedule, since: datetime, until: datetime, most: int) -> list[datetime]:
    """Return the last `most` ticks of [since, until], at a cost that depends on `most` alone: an outage may be long."""
    back = most * _step(schedule)
    while True:
        start = max(since, until - back)
        ticks = _between(schedule, start, until)
        if len(ticks) >= most or start <= since:
            return ticks[-most:]
        back *= 2


def _step(schedule: Schedule) -> timedelta:
    """Return a distance that few schedules are denser than."""
    when = schedule.spec.when
    return when.interval if isinstance(when, Every) else _MINUTE


def _between(schedule: Schedule, start: datetime, until: datetime, most: int | None = None) -> list[datetime]:
    ticks: list[datetime] = []
    tick = next_after(schedule.spec, start - _MICROSECOND, schedule.created_at)
    while tick is not None and tick <= until and (most is None or len(ticks) < most):
        ticks.append(tick)
        tick = next_after(schedule.spec, tick, schedule.created_at)
    return ticks


def _count(schedule: Schedule, since: datetime, until: datetime) -> int:
    """Return the number of ticks of [since, until], of those that are searched for only up to a bound."""
    if until < since:
        return 0
    when = schedule.spec.when
    if isinstance(when, Every):
        return (until - since) // when.interval + 1  # `since` is a tick
    return len(_between(schedule, since, until, _COUNTED))

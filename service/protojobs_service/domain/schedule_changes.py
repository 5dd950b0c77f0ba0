"""What people do to schedules, as functions from what is stored to what is to be stored. Pure; see `schedule.Change`."""

from dataclasses import replace
from datetime import datetime

from protojobs_service.domain.errors import Conflict, ScheduleNotFound
from protojobs_service.domain.schedule import Change, Definition, Overlap, Schedule
from protojobs_service.domain.schedule_calendar import next_after
from protojobs_service.domain.schedule_ticks import wake


def define(wanted: Definition, etag: str = "") -> Change:
    """Return the change that makes a schedule what is wanted. Raises Conflict where an etag is given and does not match.

    The same definition again changes nothing; a new one keeps the next tick unless it changes when there are any.
    """

    def change(old: Schedule | None, now: datetime) -> Schedule:
        _check(old, etag)
        new = _made(wanted, now) if old is None else _redefined(old, wanted, now)
        return new if new == old else replace(new, wake_at=wake(new, now))

    return change


def pause(old: Schedule | None, _now: datetime) -> Schedule:
    """Stop ticks. Raises ScheduleNotFound."""
    found = _known(old)
    if found.paused:
        return found
    return replace(found, version=found.version + 1, paused=True, next_at=None, buffered_at=None, wake_at=None)


def resume(old: Schedule | None, now: datetime) -> Schedule:
    """Let it tick again, from now on: what would have ticked meanwhile was not missed. Raises ScheduleNotFound."""
    found = _known(old)
    if not found.paused:
        return found
    again = replace(found, version=found.version + 1, paused=False)
    following = _next(again, now)
    return replace(again, next_at=following, wake_at=following)


def remove(etag: str = "") -> Change:
    """Return the change that removes a schedule. Raises ScheduleNotFound, Conflict."""

    def change(old: Schedule | None, _now: datetime) -> None:
        _check(_known(old), etag)

    return change


def _made(wanted: Definition, now: datetime) -> Schedule:
    new = Schedule(
        name=wanted.name,
        queue=wanted.queue,
        kind=wanted.kind,
        spec=wanted.spec,
        template=wanted.template,
        catchup=wanted.catchup,
        overlap=wanted.overlap,
        paused=wanted.paused,
        created_at=now,
    )
    return replace(new, next_at=_next(new, now))


def _redefined(old: Schedule, wanted: Definition, now: datetime) -> Schedule:
    new = replace(
        old,
        queue=wanted.queue,
        kind=wanted.kind,
        spec=wanted.spec,
        template=wanted.template,
        catchup=wanted.catchup,
        overlap=wanted.overlap,
        paused=old.paused or wanted.paused,
    )
    if new == old:
        return old
    again = replace(new.spec, jitter=old.spec.jitter) != old.spec
    return replace(
        new,
        version=old.version + 1,
        next_at=_next(new, now) if again or new.paused else old.next_at,
        buffered_at=None if again or new.paused or new.overlap is not Overlap.BUFFER_ONE else old.buffered_at,
    )


def _next(schedule: Schedule, now: datetime) -> datetime | None:
    if schedule.paused:
        return None
    return next_after(schedule.spec, max(now, schedule.last_at or now), schedule.created_at)


def _known(old: Schedule | None) -> Schedule:
    if old is None:
        raise ScheduleNotFound
    return old


def _check(old: Schedule | None, etag: str) -> None:
    if etag and (old is None or old.etag != etag):
        raise Conflict("the schedule has changed; read it again")

"""Schedules as rows: reading, listing, changing."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from protojobs_service.domain.errors import QuotaExceeded
from protojobs_service.domain.job import JobId
from protojobs_service.domain.schedule import Catchup, CatchupMode, Change, Overlap, Schedule, Spec
from protojobs_service.drivers.sql.cold.base import Cold, insert_all, micros, moment, moment_or_none, span
from protojobs_service.drivers.sql.cold.lanes import FLEET


def read_schedule(c: Connection, cold: Cold, name: str) -> Schedule | None:
    """Return a schedule."""
    table = cold.tables.schedule
    row = c.execute(select(table).where(table.c.name == name)).one_or_none()
    return None if row is None else to_schedule(row)


def list_schedules(c: Connection, cold: Cold, after: str, limit: int) -> list[Schedule]:
    """Return schedules by name, from the first one behind `after`."""
    table = cold.tables.schedule
    return [to_schedule(row) for row in c.execute(select(table).where(table.c.name > after).order_by(table.c.name).limit(limit))]


def preview_change(c: Connection, cold: Cold, name: str, change: Change) -> Schedule | None:
    """Return what a change would make of a schedule now. Raises what it raises."""
    return change(read_schedule(c, cold, name), moment(cold.clock(c)))


def change_schedule(c: Connection, cold: Cold, name: str, change: Change, most: int) -> Schedule | None:
    """Replace a schedule, alone with it; a tick that is on its way goes first. Raises QuotaExceeded, and what `change` raises."""
    table, fleet = cold.tables.schedule, cold.tables.fleet
    one = select(table).where(table.c.name == name).with_for_update()
    row = c.execute(one).one_or_none()
    if row is None:  # a row that does not exist cannot be locked
        c.execute(select(fleet.c.id).where(fleet.c.id == FLEET).with_for_update())
        row = c.execute(one).one_or_none()
    old = None if row is None else to_schedule(row)
    new = change(old, moment(cold.clock(c)))
    if new is None:
        c.execute(delete(table).where(table.c.name == name))
    elif old is None:
        if int(c.execute(select(func.count(table.c.name))).scalar_one()) >= most:
            raise QuotaExceeded("the store has too many schedules")
        insert_all(c, table, [_row(new)])
    elif new != old:
        c.execute(update(table).where(table.c.name == name).values(**_row(new)))
    return new


def to_schedule(row: Any) -> Schedule:
    """Return the schedule of a row."""
    return Schedule(
        name=row.name,
        queue=row.queue,
        kind=row.kind,
        spec=Spec.load(row.spec),
        template=bytes(row.template),
        catchup=Catchup(
            mode=CatchupMode(row.catchup_mode),
            most=row.catchup_most,
            window=moment(row.catchup_window) - moment(0),
        ),
        overlap=Overlap(row.overlap),
        paused=bool(row.paused),
        version=row.version,
        created_at=moment(row.created_at),
        next_at=moment_or_none(row.next_at),
        buffered_at=moment_or_none(row.buffered_at),
        wake_at=moment_or_none(row.wake_at),
        last_at=moment_or_none(row.last_at),
        last_job=None if row.last_job is None else JobId(bytes(row.last_job)),
    )


TICKING: Sequence[str] = ("next_at", "buffered_at", "wake_at", "last_at", "last_job")
"""Columns that a tick changes."""


def ticking(schedule: Schedule) -> dict[str, Any]:
    """Return the values of the columns that a tick changes."""
    times = {name: getattr(schedule, name) for name in TICKING if name != "last_job"}
    found = {name: None if at is None else micros(at) for name, at in times.items()}
    return {**found, "last_job": schedule.last_job}


def _row(schedule: Schedule) -> dict[str, Any]:
    return {
        "name": schedule.name,
        "version": schedule.version,
        "queue": schedule.queue,
        "kind": schedule.kind,
        "spec": schedule.spec.dump(),
        "template": schedule.template,
        "catchup_mode": schedule.catchup.mode.value,
        "catchup_most": schedule.catchup.most,
        "catchup_window": span(schedule.catchup.window),
        "overlap": schedule.overlap.value,
        "paused": int(schedule.paused),
        "created_at": micros(schedule.created_at),
        **ticking(schedule),
    }

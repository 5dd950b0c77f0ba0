"""The lane registry in the store: append-only ids of (queue, kind), and which lanes have pending jobs."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, func, select, update

from protojobs_service.domain.errors import QuotaExceeded
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.sql.cold.base import Cold, insert_new

FLEET = 1
"""The id of the only row of `fleet`."""


class Registry(NamedTuple):
    """What a replica reloads: lanes above the last known one, queues with their settings, non-empty lanes, the clock."""

    lanes: list[tuple[int, str, str]]
    queues: dict[str, str]
    pending: set[int]
    now: int


def read_registry(c: Connection, cold: Cold, after: int) -> Registry:
    """Read lanes with an id above `after`, and the rest."""
    lane, queue, counter = cold.tables.lane, cold.tables.queue, cold.tables.counter
    lanes = c.execute(select(lane.c.id, lane.c.queue, lane.c.kind).where(lane.c.id > after).order_by(lane.c.id))
    queues = c.execute(select(queue.c.name, queue.c.settings))
    pending = c.execute(
        select(counter.c.lane)
        .where(counter.c.state == State.PENDING.value, counter.c.lane > 0)
        .group_by(counter.c.lane)
        .having(func.sum(counter.c.n) > 0)
    )
    return Registry(
        [(row.id, row.queue, row.kind) for row in lanes],
        {row.name: row.settings for row in queues},
        set(pending.scalars()),
        cold.clock(c),
    )


def add_lanes(c: Connection, cold: Cold, pairs: Collection[tuple[str, str]], *, max_queues: int, max_lanes: int) -> None:
    """Make lanes of (queue, kind) and the queues they need. Raises QuotaExceeded and makes none where one of them is too many.

    Takes the row of the fleet first: caps are exact, and a queue that is being deleted is made again after that.
    """
    tables, now = cold.tables, cold.clock(c)
    fleet, queue, lane = tables.fleet, tables.queue, tables.lane
    c.execute(select(fleet.c.id).where(fleet.c.id == FLEET).with_for_update())
    names = sorted({name for name, _ in pairs})
    made = insert_new(c, queue, [{"name": name, "created_at": now} for name in names], returning=queue.c.name)
    insert_new(c, lane, [{"queue": name, "kind": kind} for name, kind in sorted(pairs)])
    if made and _rows(c, queue.c.name) > max_queues:
        raise QuotaExceeded("too many queues")
    if _rows(c, lane.c.id) > max_lanes:
        raise QuotaExceeded("too many kinds")
    if made:
        c.execute(update(fleet).where(fleet.c.id == FLEET).values(settings_version=fleet.c.settings_version + 1))


def _rows(c: Connection, column: "object") -> int:
    return int(c.execute(select(func.count(column))).scalar_one())  # type: ignore[arg-type]

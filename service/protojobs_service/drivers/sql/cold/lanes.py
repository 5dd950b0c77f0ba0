"""The lane registry in the store: append-only ids of (queue, kind), and which lanes have pending jobs."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, func, select, true, update

from protojobs_service.domain.errors import QuotaExceeded
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.sql.cold.base import Cold, insert_new, kept
from protojobs_service.drivers.sql.tables import Tables

FLEET = 1
"""The id of the only row of `fleet`."""


class Glance(NamedTuple):
    """What changes by the second: the clock and the non-empty lanes; and by which numbers the rest is known to have changed.

    version: of the settings of queues, and of which queues there are. newest: the highest id of a lane, 0 where there is none.
    """

    version: int
    newest: int
    now: int
    pending: set[int]


class Registry(NamedTuple):
    """What a replica reloads after a change: lanes above the last known one, queues with their settings; `version` of these."""

    version: int
    lanes: list[tuple[int, str, str]]
    queues: dict[str, str]


def glance(c: Connection, cold: Cold) -> Glance:
    """Read a Glance, by one statement."""
    rows = c.execute(_glance(cold.tables, cold.now)).all()
    one = rows[0]
    return Glance(one.version, one.newest, one.now, {row.pending for row in rows if row.pending is not None})


@kept
def _glance(tables: Tables, now: Callable[[], ColumnElement[int]]) -> Select[Any]:
    fleet, lane, counter = tables.fleet, tables.lane, tables.counter
    pending = (
        select(counter.c.lane)
        .where(counter.c.state == State.PENDING.value, counter.c.lane > 0)
        .group_by(counter.c.lane)
        .having(func.sum(counter.c.n) > 0)
        .subquery("pending")
    )
    columns: list[ColumnElement[Any]] = [
        fleet.c.settings_version.label("version"),
        select(func.coalesce(func.max(lane.c.id), 0)).scalar_subquery().label("newest"),
        now().label("now"),
        pending.c.lane.label("pending"),
    ]
    return select(*columns).select_from(fleet.outerjoin(pending, true())).where(fleet.c.id == FLEET)


def read_registry(c: Connection, cold: Cold, after: int) -> Registry:
    """Read lanes with an id above `after`, and the rest, in one snapshot."""
    fleet, lane, queue = cold.tables.fleet, cold.tables.lane, cold.tables.queue
    version = c.execute(select(fleet.c.settings_version).where(fleet.c.id == FLEET)).scalar_one()
    lanes = c.execute(select(lane.c.id, lane.c.queue, lane.c.kind).where(lane.c.id > after).order_by(lane.c.id))
    queues = c.execute(select(queue.c.name, queue.c.settings))
    return Registry(version, [(row.id, row.queue, row.kind) for row in lanes], {row.name: row.settings for row in queues})


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

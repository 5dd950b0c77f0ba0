"""Jobs that fall due soon, by queue and kind; a bounded part of an index is read, however many wait."""

from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from protojobs_service.drivers.sql.cold.base import Cold
from protojobs_service.drivers.sql.mysql_keys import by_index


def due_soon(c: Connection, cold: Cold, within_us: int, limit: int) -> Mapping[str, Mapping[str, int]]:
    """Return how many fall due within a span, by queue and kind: of the first `limit`."""
    due, lane = cold.tables.due, cold.tables.lane
    first = select(due.c.lane).where(due.c.due_at <= cold.clock(c) + within_us).order_by(due.c.due_at, due.c.id).limit(limit)
    first = first.with_hint(due, by_index(due, "due_order"), "mysql")
    each = first.subquery()
    counted = select(each.c.lane, func.count().label("n")).group_by(each.c.lane).subquery()
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for row in c.execute(select(lane.c.queue, lane.c.kind, counted.c.n).join_from(counted, lane, lane.c.id == counted.c.lane)):
        found[row.queue][row.kind] = int(row.n)
    return dict(found)

"""How many jobs stand in `ready`: the counters have what a concurrency key holds among those that are PENDING."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, func, literal, select, union_all

from protojobs_service.drivers.sql.cold.base import Cold, among, chunks

_PROBES = 100


def claimable(c: Connection, cold: Cold, queues: Collection[str], most: int) -> Mapping[str, Mapping[str, int]]:
    """Return the number by queue and kind, at most `most` of each: they are counted, along the index that claims use."""
    lane = cold.tables.lane
    lanes = {
        row.id: (row.queue, row.kind)
        for some in chunks(sorted(queues))
        for row in c.execute(select(lane).where(among(lane.c.queue, some)))
    }
    probes = [_count(cold, each, most) for each in lanes]
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for start in range(0, len(probes), _PROBES):
        for row in c.execute(union_all(*probes[start : start + _PROBES])):
            if row.n:
                queue, kind = lanes[row.lane]
                found[queue][kind] = int(row.n)
    return found


def _count(cold: Cold, lane: int, most: int) -> Any:
    ready = cold.tables.ready
    standing = select(ready.c.position).where(ready.c.lane == lane).order_by(ready.c.band, ready.c.position).limit(most).subquery()
    return select(literal(lane).label("lane"), func.count().label("n")).select_from(standing)

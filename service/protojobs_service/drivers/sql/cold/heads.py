"""Which position is the first in `ready`, of lanes and bands: what arrived, not what came back."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, select, union_all

from protojobs_service.drivers.sql.cold.base import Cold

_PROBES = 100


class Spot(NamedTuple):
    """A lane and band of `ready`."""

    lane: int
    band: int


def heads(c: Connection, cold: Cold, spots: Iterable[Spot]) -> dict[Spot, int]:
    """Return the first position of each that has jobs, as the index finds it."""
    ready = cold.tables.ready
    probes = [
        select(
            select(ready.c.lane, ready.c.band, ready.c.position)
            .where(ready.c.lane == spot.lane, ready.c.band == spot.band, ready.c.position >= 0)
            .order_by(ready.c.position)
            .limit(1)
            .subquery()
        )
        for spot in spots
    ]
    return {
        Spot(row.lane, row.band): row.position
        for start in range(0, len(probes), _PROBES)
        for row in c.execute(union_all(*probes[start : start + _PROBES]))
    }

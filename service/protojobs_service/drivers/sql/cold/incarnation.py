"""A new life of a store that was restored: whoever worked with what came after the backup has no part in it."""

from collections.abc import Mapping
from secrets import token_hex
from typing import NamedTuple

from sqlalchemy import Connection, func, select, update

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.domain.outcome import Release, ReleaseCause
from protojobs_service.drivers.sql.cold.base import SECOND, Cold
from protojobs_service.drivers.sql.cold.handles import close_handles
from protojobs_service.drivers.sql.cold.lanes import FLEET
from protojobs_service.drivers.sql.cold.running import lock_attempts
from protojobs_service.drivers.sql.cold.sessions import Front, give_back
from protojobs_service.drivers.sql.cold.waiting import Arrival

_LATELY_US = 60 * SECOND
"""A replica that has not beaten for so long is dead."""
_LAST_STREAM = (1 << 63) - 1
"""No stream of a session has a greater number, so that none can resume it."""


class Renewed(NamedTuple):
    """What a new incarnation has ended. arrivals: where `ready` has got jobs."""

    sessions: int
    returned: int
    arrivals: set[Arrival]


def beats(c: Connection, cold: Cold) -> dict[str, int]:
    """Return the last signs of life of other replicas that may live: those of a backup that was just made look so, too."""
    replica = cold.tables.replica
    lately = replica.c.beat_at > cold.clock(c) - _LATELY_US
    others = select(replica.c.replica, replica.c.beat_at).where(replica.c.replica != cold.replica.name, lately)
    return {row.replica: row.beat_at for row in c.execute(others.order_by(replica.c.slot))}


def begin_anew(c: Connection, cold: Cold, front: Front, before: Mapping[str, int]) -> Renewed:
    """Give the store another name, refuse every session that it knows for good, and give back what they had; nothing is counted.

    before: the beats of some seconds ago. Raises StoreUnavailable where there are others now.
    """
    fleet, session = cold.tables.fleet, cold.tables.session
    c.execute(select(fleet.c.id).where(fleet.c.id == FLEET).with_for_update())
    if living := [name for name, beat in beats(c, cold).items() if before.get(name) != beat]:
        raise StoreUnavailable(f"server {living[0]} is on this store: stop every server first")
    now = cold.clock(c)
    known = c.execute(select(session.c.id).order_by(session.c.id).with_for_update()).scalars().all()
    close_handles(c, cold, known, now)
    c.execute(update(session).values(closed_at=func.coalesce(session.c.closed_at, now), stream_no=_LAST_STREAM))
    returned, arrivals = give_back(c, cold, lock_attempts(c, cold), Release(cause=ReleaseCause.NOT_HELD), now, front)
    c.execute(update(fleet).where(fleet.c.id == FLEET).values(incarnation=token_hex(16), beat_at=now))
    return Renewed(len(known), returned, arrivals)

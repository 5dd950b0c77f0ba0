"""The replicas: their slots, their beats, and what a gap in the beats of all of them means."""

from secrets import token_hex

from sqlalchemy import Connection, Update, case, func, select, update

from protojobs_service.drivers.sql.cold.base import SECOND, Cold, insert_new
from protojobs_service.drivers.sql.cold.lanes import FLEET

_DEAD_US = 60 * SECOND
"""A slot whose replica has not beaten for so long is given to another one."""
_LONGEST_GAP_US = 3 * SECOND
"""Without a beat for so long (or half the smallest ttl) nobody could renew: an outage, which no session shall pay for."""
_AFTER_OUTAGE_US = 10 * SECOND


def found_fleet(c: Connection, cold: Cold) -> None:
    """Make the row of the fleet where there is none."""
    row = {"id": FLEET, "settings_version": 1, "beat_at": cold.clock(c), "incarnation": token_hex(16)}
    insert_new(c, cold.tables.fleet, [row])


def lease_number(c: Connection, cold: Cold) -> int:
    """Give this replica a number: its own, a dead one's, or a new one. The row of the fleet makes two openings take turns."""
    name = cold.replica.name
    fleet, replica = cold.tables.fleet, cold.tables.replica
    found_fleet(c, cold)
    c.execute(select(fleet.c.id).where(fleet.c.id == FLEET).with_for_update())
    now = cold.clock(c)
    rows = c.execute(select(replica.c.slot, replica.c.replica, replica.c.beat_at).order_by(replica.c.slot)).all()
    free = [row.slot for row in rows if row.replica == name or row.beat_at < now - _DEAD_US]
    slot = free[0] if free else next(i for i in range(len(rows) + 1) if i not in {row.slot for row in rows})
    values = {"replica": name, "beat_at": now, "settings_version": 0}
    if free:
        c.execute(update(replica).where(replica.c.slot == slot).values(**values))
    else:
        c.execute(replica.insert().values(slot=slot, **values))
    return slot


def return_number(c: Connection, cold: Cold) -> None:
    """Give the number back at the end."""
    c.execute(_own(cold).values(beat_at=0))


def _own(cold: Cold) -> Update:
    replica, own = cold.tables.replica, cold.replica
    return update(replica).where(replica.c.slot == own.number, replica.c.replica == own.name)


def beat(c: Connection, cold: Cold) -> tuple[bool, bool]:
    """Write a sign of life; tells whether the fleet was silent too long, and whether the number is still this replica's.

    What it was silent is added to the expiry of every session, each of which has at least 10 s from now.
    """
    tables = cold.tables
    fleet, session = tables.fleet, tables.session
    last = int(c.execute(select(fleet.c.beat_at).where(fleet.c.id == FLEET).with_for_update()).scalar_one())
    now = cold.clock(c)
    lives = session.c.closed_at.is_(None)
    smallest = c.execute(select(func.min(session.c.ttl)).where(lives)).scalar()
    gap = now - last
    silent = gap > (_LONGEST_GAP_US if smallest is None else min(_LONGEST_GAP_US, smallest // 2))
    if silent:
        later = session.c.expires_at + gap
        longest = case((later > now + _AFTER_OUTAGE_US, later), else_=now + _AFTER_OUTAGE_US)
        c.execute(update(session).where(lives).values(expires_at=longest))
    c.execute(update(fleet).where(fleet.c.id == FLEET, fleet.c.beat_at < now).values(beat_at=now))
    return silent, c.execute(_own(cold).values(beat_at=now)).rowcount > 0

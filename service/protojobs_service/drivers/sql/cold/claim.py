"""What a claim must look up for the few rows that say so: checkpoints, and jobs that came too late."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, and_, func, select

from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, delete_ids, insert_all, tally
from protojobs_service.drivers.sql.cold.ends import End, note
from protojobs_service.drivers.sql.cold.keys import free_keys
from protojobs_service.drivers.sql.cold.places import free
from protojobs_service.drivers.sql.cold.running import lock_ids
from protojobs_service.drivers.sql.cold.waiting import Arrival, drop_deadlines
from protojobs_service.drivers.sql.store import Claimed
from protojobs_service.drivers.sql.tables import FREES_KEY, PLACE


def checkpoints(c: Connection, cold: Cold, ids: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the newest checkpoint of each job that has one."""
    detail = cold.tables.attempt_detail
    found: dict[bytes, bytes] = {}
    for some in chunks(ids):
        newest = (
            select(detail.c.id, func.max(detail.c.attempt).label("attempt"))
            .where(among(detail.c.id, some), detail.c.checkpoint.is_not(None))
            .group_by(detail.c.id)
            .subquery()
        )
        same = and_(newest.c.id == detail.c.id, newest.c.attempt == detail.c.attempt)
        rows = c.execute(select(detail.c.id, detail.c.checkpoint).join_from(detail, newest, same))
        found |= {row.id: row.checkpoint for row in rows}
    return found


def expire_claimed(c: Connection, cold: Cold, rows: Sequence[Claimed]) -> tuple[set[bytes], set[Arrival]]:
    """End those of the just claimed jobs whose expire time has passed, before any worker gets them.

    Returns their ids, and where others stand that have got their places.
    """
    tables, now = cold.tables, cold.clock(c)
    deadline = tables.deadline
    overdue = {
        job_id
        for some in chunks([row.id for row in rows])
        for job_id in c.execute(select(deadline.c.id).where(among(deadline.c.id, some), deadline.c.expire_at <= now)).scalars()
    }
    attempts = lock_ids(c, cold, overdue)
    ours = [row for row in rows if (at := attempts.get(row.id)) and (at.attempt, at.handle) == (row.attempt, row.handle)]
    delete_ids(c, tables.running, [row.id for row in ours])
    ended = [
        {"id": row.id, "attempt": row.attempt, "lane": row.lane, "finished_at": now, "outcome": Code.EXPIRED.value} for row in ours
    ]
    insert_all(c, tables.done, ended)
    # PENDING: that it was leased for this moment, nobody has seen.
    note(c, cold, [End(row.id, row.attempt, Code.EXPIRED, State.PENDING, State.EXPIRED) for row in ours])
    insert_all(c, tables.attempt_detail, [{"id": row.id, "attempt": row.attempt, "reason": Code.EXPIRED.name} for row in ours])
    drop_deadlines(c, cold, [row.id for row in ours])
    free_keys(c, cold, [row.id for row in ours if row.flags & FREES_KEY])
    arrivals = free(c, cold, [row.id for row in ours if row.flags & PLACE])
    changes = Counter((row.lane, State.EXPIRED) for row in ours)
    changes.subtract((row.lane, State.RUNNING) for row in ours)
    tally(c, cold, changes)
    return overdue, arrivals

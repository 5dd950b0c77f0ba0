"""What time does to waiting jobs: due ones become pending, overdue ones expire."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, exists, select

from protojobs_service.domain.lifecycle import FINAL_STATES, Code, State
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, kept, tally
from protojobs_service.drivers.sql.cold.fairness import in_turn
from protojobs_service.drivers.sql.cold.standing import standing
from protojobs_service.drivers.sql.cold.waiting import (
    Arrival,
    Waiting,
    drop_deadlines,
    end_waiting,
    put_ready,
    take_due,
    take_pending,
)
from protojobs_service.drivers.sql.mysql_keys import by_index

_GONE_ON = FINAL_STATES | {State.RETRYING}
"""Where no expire time counts any more: what is RETRYING has had a handler."""


def promote(c: Connection, cold: Cold, limit: int, base: int) -> tuple[int, set[Arrival]]:
    """Make due jobs pending, in order of their time, at positions from `base` on; rows that another replica moves are skipped."""
    due = cold.tables.due
    ripe = select(due.c.id, due.c.due_at).where(due.c.due_at <= cold.clock(c)).order_by(due.c.due_at, due.c.id).limit(limit)
    ripe = ripe.with_hint(due, by_index(due, "due_order"), "mysql")  # a sort would lock all that are due
    order = {row.id: i for i, row in enumerate(c.execute(ripe.with_for_update(skip_locked=True)))}
    jobs = sorted(take_due(c, cold, list(order)), key=lambda job: order[job.id])
    ready = put_ready(c, cold, in_turn(c, cold, [(job, base + i) for i, job in enumerate(jobs)]))
    changes = Counter((job.lane, State.PENDING) for job in jobs)
    changes.subtract((job.lane, job.state) for job in jobs)
    tally(c, cold, changes)
    return len(jobs), {Arrival(job.lane, job.band) for job, _ in ready}


def is_overdue(c: Connection, cold: Cold) -> bool:
    """Tell whether there may be anything to expire, by one statement that locks nothing."""
    return c.execute(_first_overdue(cold.tables.deadline, cold.now)).first() is not None


@kept
def _first_overdue(deadline: Table, now: Callable[[], ColumnElement[int]]) -> Select[Any]:
    return select(deadline.c.id).where(deadline.c.expire_at <= now()).order_by(deadline.c.expire_at).limit(1)


def expire(c: Connection, cold: Cold, limit: int) -> int:
    """End what waits past its expire time, as long as no attempt has ended but by release; what has gone on loses its expire time.

    A job that somebody moves meanwhile keeps its expire time: the next sweep finds it where it stands then.
    """
    tables, now = cold.tables, cold.clock(c)
    deadline, running = tables.deadline, tables.running
    # Running ones are left alone: they may come back unstarted, and the claim checks them again.
    runs = exists().where(running.c.id == deadline.c.id)
    overdue = select(deadline.c.id).where(deadline.c.expire_at <= now, ~runs).order_by(deadline.c.expire_at, deadline.c.id)
    overdue = overdue.with_hint(deadline, by_index(deadline, "deadline_order"), "mysql")
    ids = list(c.execute(overdue.limit(limit).with_for_update(skip_locked=True, of=deadline)).scalars())
    ended: list[Waiting] = take_pending(c, cold, ids) + take_due(c, cold, ids, state=State.SCHEDULED)
    changes = end_waiting(c, cold, ended, Code.EXPIRED, now)
    rest = sorted(set(ids) - {job.id for job in ended})
    stands = standing(c, cold, rest)
    drop_deadlines(c, cold, [i for i in rest if (at := stands.get(i)) is None or at.state is None or at.state in _GONE_ON])
    tally(c, cold, changes)
    return len(ended)


def forget_cancels(c: Connection, cold: Cold, limit: int) -> None:
    """Drop requests to cancel attempts that have ended: a plain completion leaves them behind."""
    tables = cold.tables
    asked, running = tables.cancel_request, tables.running
    runs = exists().where(running.c.id == asked.c.id, running.c.attempt == asked.c.attempt)
    stale = select(asked.c.id).where(~runs, asked.c.deadline_at < cold.clock(c)).limit(limit)
    for some in chunks(list(c.execute(stale).scalars())):
        c.execute(delete(asked).where(among(asked.c.id, some), ~runs))

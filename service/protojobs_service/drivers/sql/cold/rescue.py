"""Rescue: what becomes of jobs whose session died, and of unary leases that are over time."""

from typing import Any

from sqlalchemy import Connection, exists, select, update

from protojobs_service.domain.job import Handle, JobId
from protojobs_service.domain.outcome import Cancelled, Crash, Fail, JobError, Outcome
from protojobs_service.drivers.sql.cold.base import MINUTE, Cold, among, chunks, span
from protojobs_service.drivers.sql.cold.handles import close_handles
from protojobs_service.drivers.sql.cold.running import (
    Attempt,
    Ending,
    end_attempts,
    lock_attempts,
    lock_ids,
    read_attempts,
    run_timeout,
)
from protojobs_service.drivers.sql.cold.sessions import Front
from protojobs_service.drivers.sql.cold.waiting import Arrival
from protojobs_service.drivers.sql.tables import CANCEL_ASKED, STARTED
from protojobs_service.port.jobs import Settlement

_SESSIONS = 500
_LEFT_OVER_US = 60 * MINUTE
"""How long a closed handle is looked at for what a bounded sweep has left; `everything` looks at all."""
_TIMEOUT = Fail(error=JobError(type="TIMEOUT", message="the attempt ran longer than its run timeout"), reason="TIMEOUT")


def rescue(
    c: Connection, cold: Cold, limit: int, front: Front, *, everything: bool = False
) -> tuple[list[Settlement], set[Arrival]]:
    """Close expired sessions, then decide at most `limit` jobs of closed handles and overdue unary ones."""
    now = cold.clock(c)
    _close_expired(c, cold, now)
    dead = _dead_handles(c, cold, 0 if everything else now - _LEFT_OVER_US)
    endings: list[Ending] = []
    running = cold.tables.running
    for some in chunks(sorted(dead)):
        rows = lock_attempts(c, cold, among(running.c.handle, some), limit=limit - len(endings))
        endings += [Ending(row, Crash(started=_started(row, dead)), settled=False) for row in rows]
        if len(endings) >= limit:
            break
    if len(endings) < limit:
        endings += _overdue(c, cold, now, limit - len(endings))
    _, arrivals = end_attempts(c, cold, endings, now=now, front=front.position, rng=front.rng)
    applied = [Settlement(JobId(row.id), row.attempt, Handle(row.handle), outcome) for row, outcome, _ in endings]
    return applied, arrivals


def _close_expired(c: Connection, cold: Cold, now: int) -> None:
    """Close expired sessions; the expiry is read from the locked row, so a renewal that came first wins."""
    session = cold.tables.session
    expired = select(session.c.id).where(session.c.closed_at.is_(None), session.c.expires_at <= now).order_by(session.c.id)
    ids = c.execute(expired.limit(_SESSIONS).with_for_update(skip_locked=True)).scalars().all()
    for some in chunks(ids):
        c.execute(update(session).where(among(session.c.id, some)).values(closed_at=now))
    close_handles(c, cold, ids, now)


def _dead_handles(c: Connection, cold: Cold, since: int) -> dict[int, bool]:
    """Return closed handles that still have jobs, and which of them are unary."""
    handle, running = cold.tables.handle, cold.tables.running
    has_jobs = exists().where(running.c.handle == handle.c.id)
    closed = select(handle.c.id, handle.c.unary).where(handle.c.closed_at >= since, has_jobs)
    return {row.id: bool(row.unary) for row in c.execute(closed)}


def _started(row: Attempt, dead: dict[int, bool]) -> bool:
    return bool(row.flags & STARTED) or dead[row.handle]


def _overdue(c: Connection, cold: Cold, now: int, limit: int) -> list[Ending]:
    """Return attempts of open unary handles that are over their run timeout or the deadline of a cancel."""
    tables = cold.tables
    handle, running, asked = tables.handle, tables.running, tables.cancel_request
    unary = select(handle.c.id).where(handle.c.unary == 1, handle.c.closed_at.is_(None))
    rows = read_attempts(c, cold, running.c.handle.in_(unary))
    flagged = [row.id for row in rows if row.flags & CANCEL_ASKED]
    deadlines: dict[bytes, Any] = {
        row.id: row
        for some in chunks(flagged)
        for row in c.execute(select(asked).where(among(asked.c.id, some), asked.c.deadline_at <= now))
    }
    found: dict[bytes, Outcome] = {}
    for row in rows:
        outcome: Outcome | None = None
        if (request := deadlines.get(row.id)) is not None and request.attempt == row.attempt:
            outcome = Cancelled()
        elif row.started_at + span(run_timeout(row)) <= now:
            outcome = _TIMEOUT
        if outcome is not None:
            found[row.id] = outcome
    chosen = {row.id: row for row in rows if row.id in found}
    locked = lock_ids(c, cold, list(chosen)[:limit])
    same = [row for row in locked.values() if (row.attempt, row.handle) == (chosen[row.id].attempt, chosen[row.id].handle)]
    return [Ending(row, found[row.id], settled=False) for row in same]

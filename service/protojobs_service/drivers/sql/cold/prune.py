"""Retention: what finished long ago goes; inside the id window only its payload, result and errors."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, delete, func, select, update

from protojobs_service.domain.bounds import ID_AHEAD, ID_WINDOW
from protojobs_service.domain.lifecycle import STATE_OF_CODE, Code, State
from protojobs_service.domain.queue import Retention
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, span, tally
from protojobs_service.drivers.sql.cold.delete import empty


class Pruned(NamedTuple):
    """How many jobs were pruned, and the id to go on after; None: the end was reached."""

    jobs: int
    after: bytes | None


def prune(c: Connection, cold: Cold, after: bytes | None, limit: int, retention: Mapping[int, Retention]) -> Pruned:
    """Look at `limit` final jobs above `after` in id order, and prune those that are due. retention: by lane."""
    now = cold.clock(c)
    shortest = min((span(min(r.completed, r.failed, r.cancelled)) for r in retention.values()), default=0)
    rows = _candidates(c, cold, after, _first_id(now - min(shortest, span(ID_WINDOW)) + span(ID_AHEAD)), limit)
    window = _first_id(now - span(ID_WINDOW))
    expired = [row for row in rows if _is_over(row, retention.get(row.lane, Retention()), now)]
    _remove(c, cold, [row for row in expired if row.id < window])
    kept = [row for row in expired if row.id >= window and row.size and row.outcome != Code.DELETED]
    empty(c, cold, [row.id for row in kept])
    _drop_details(c, cold, [row.id for row in kept])
    return Pruned(sum(row.id < window for row in expired) + len(kept), rows[-1].id if len(rows) == limit else None)


def _candidates(c: Connection, cold: Cold, after: bytes | None, before: bytes, limit: int) -> Sequence[Any]:
    done, job = cold.tables.done, cold.tables.job
    statement = (
        select(done.c.id, done.c.lane, done.c.outcome, done.c.finished_at, func.length(job.c.envelope).label("size"))
        .join_from(done, job, job.c.id == done.c.id)
        .where(done.c.outcome <= Code.DELETED.value, done.c.id < before)
        .order_by(done.c.id)
        .limit(limit)
    )
    return c.execute(statement if after is None else statement.where(done.c.id > after)).all()


def _first_id(at: int) -> bytes:
    """Return the smallest UUIDv7 of a time."""
    return max(0, at // 1000).to_bytes(6) + bytes(10)


def _is_over(row: Any, keep: Retention, now: int) -> bool:
    if row.outcome == Code.DELETED:
        return True
    state = STATE_OF_CODE[row.outcome]
    kept = {State.COMPLETED: keep.completed, State.CANCELLED: keep.cancelled}.get(state, keep.failed)
    return bool(row.finished_at + span(kept) <= now)


def _remove(c: Connection, cold: Cold, rows: Sequence[Any]) -> None:
    """Remove jobs with everything. A Retry of one is looked for first: its final row is locked and must still be final."""
    tables = cold.tables
    done = tables.done
    for some in chunks(sorted(rows, key=lambda row: row.id)):
        still = select(done.c.id, done.c.lane, done.c.outcome).where(
            and_(among(done.c.id, [row.id for row in some]), done.c.outcome <= Code.DELETED.value)
        )
        final = c.execute(still.order_by(done.c.id).with_for_update()).all()
        if not final:
            continue
        ids = [row.id for row in final]
        for table in (
            done,
            tables.attempt_detail,
            tables.label,
            tables.parent,
            tables.deadline,
            tables.cancel_request,
            tables.job,
        ):
            c.execute(delete(table).where(among(table.c.id, ids)))
        states = [(row.lane, STATE_OF_CODE[row.outcome]) for row in final if row.outcome in STATE_OF_CODE]
        tally(c, cold, Counter({key: -n for key, n in Counter(states).items()}))


def _drop_details(c: Connection, cold: Cold, ids: Sequence[bytes]) -> None:
    detail = cold.tables.attempt_detail
    nothing = dict.fromkeys(("error_type", "error_message", "error_stack", "result", "checkpoint"))
    for some in chunks(sorted(ids)):
        c.execute(update(detail).where(among(detail.c.id, some)).values(**nothing))

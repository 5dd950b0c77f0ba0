"""Retention: what finished long ago goes; inside the id window only its payload, result and errors."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, select, update

from protojobs_service.domain.bounds import HISTORY_DELAY, ID_AHEAD, ID_WINDOW
from protojobs_service.domain.lifecycle import STATE_OF_CODE, Code, State
from protojobs_service.domain.queue import History, Retention
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, first_id, span, tally
from protojobs_service.drivers.sql.cold.delete import empty
from protojobs_service.drivers.sql.cold.trim import forget, is_forgettable, with_more_than_kept


class Pruned(NamedTuple):
    """How many jobs were pruned, and the id to go on after; None: the end was reached."""

    jobs: int
    after: bytes | None


def prune(
    c: Connection,
    cold: Cold,
    after: bytes | None,
    limit: int,
    most: int,
    retention: Mapping[int, Retention],
    history: Mapping[int, History],
) -> Pruned:
    """Look at `limit` final jobs above `after` in id order, and prune those that are due, `most` at most.

    retention: by lane. history: of the lanes that do not keep all.
    """
    now = cold.clock(c)
    shortest = min((span(min(r.completed, r.failed, r.cancelled)) for r in retention.values()), default=0)
    shortest = min(shortest, span(HISTORY_DELAY if history else ID_WINDOW))
    rows = _candidates(c, cold, after, first_id(now - shortest + span(ID_AHEAD)), limit)
    window = first_id(now - span(ID_WINDOW))
    forgettable = [row for row in rows if is_forgettable(row, history, now)]
    surplus = with_more_than_kept(c, cold, forgettable, history)
    found = [
        row for row in rows if (_is_over(row, retention, now) and (row.id < window or _has_payload(row))) or row.id in surplus
    ][:most]
    locked = _lock(c, cold, [row.id for row in found])
    expired = [row for row in locked if _is_over(row, retention, now)]
    unremembered = [row for row in locked if row.id in surplus and is_forgettable(row, history, now)]
    forget(c, cold, unremembered, history)
    kept = [row.id for row in expired if row.id >= window]
    empty(c, cold, kept)
    _drop_details(c, cold, kept)
    tally(c, cold, _remove(c, cold, [row for row in expired if row.id < window]))
    seen = found[-1].id if len(found) == most else rows[-1].id if len(rows) == limit else None
    return Pruned(len({row.id for row in [*expired, *unremembered]}), seen)


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


def _is_over(row: Any, retention: Mapping[int, Retention], now: int) -> bool:
    if row.outcome == Code.DELETED:
        return True
    keep = retention.get(row.lane, Retention())
    state = STATE_OF_CODE[row.outcome]
    kept = {State.COMPLETED: keep.completed, State.CANCELLED: keep.cancelled}.get(state, keep.failed)
    return bool(row.finished_at + span(kept) <= now)


def _has_payload(row: Any) -> bool:
    return bool(row.size) and row.outcome != Code.DELETED


def _lock(c: Connection, cold: Cold, ids: Sequence[bytes]) -> list[Any]:
    """Return the final rows of those that are still final, locked: a Retry that came first has its job, a later one waits."""
    done = cold.tables.done
    columns = select(done.c.id, done.c.lane, done.c.outcome, done.c.finished_at).order_by(done.c.id).with_for_update()
    still = done.c.outcome <= Code.DELETED.value
    return [row for some in chunks(sorted(ids)) for row in c.execute(columns.where(among(done.c.id, some), still))]


def _remove(c: Connection, cold: Cold, final: Sequence[Any]) -> Counter[tuple[int, State]]:
    """Remove locked jobs with everything; returns what to tally."""
    tables = cold.tables
    for some in chunks(final):
        ids = [row.id for row in some]
        for table in (
            tables.done,
            tables.attempt_detail,
            tables.label,
            tables.parent,
            tables.deadline,
            tables.cancel_request,
            tables.job_key,
            tables.result_limit,
            tables.job,
        ):
            c.execute(delete(table).where(among(table.c.id, ids)))
    changes: Counter[tuple[int, State]] = Counter()
    changes.subtract((row.lane, STATE_OF_CODE[row.outcome]) for row in final if row.outcome in STATE_OF_CODE)
    return changes


def _drop_details(c: Connection, cold: Cold, ids: Sequence[bytes]) -> None:
    detail = cold.tables.attempt_detail
    nothing = dict.fromkeys(("error_type", "error_message", "error_stack", "result", "checkpoint"))
    for some in chunks(sorted(ids)):
        c.execute(update(detail).where(among(detail.c.id, some)).values(**nothing))

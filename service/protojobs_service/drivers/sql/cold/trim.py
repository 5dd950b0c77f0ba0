"""What goes before its job does: results that were asked to be kept for less, and attempts that a queue does not remember."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, or_, select, update

from protojobs_service.domain.bounds import HISTORY_DELAY
from protojobs_service.domain.lifecycle import Code
from protojobs_service.domain.queue import History
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, span
from protojobs_service.drivers.sql.tables import Tables

_ERROR = ("error_type", "error_message", "error_stack")


class Dropped(NamedTuple):
    """How many results were dropped, and the id to go on after; None: the end was reached."""

    results: int
    after: bytes | None


def drop_results(c: Connection, cold: Cold, after: bytes | None, limit: int) -> Dropped:
    """Look at `limit` jobs with a result_retention above `after` in id order, and drop the results that are due."""
    kept, done, detail = cold.tables.result_limit, cold.tables.done, cold.tables.attempt_detail
    has_result = and_(detail.c.id == kept.c.id, detail.c.result.is_not(None))
    ended = and_(done.c.id == detail.c.id, done.c.attempt == detail.c.attempt)
    statement = (
        select(kept.c.id, kept.c.kept, done.c.attempt, done.c.finished_at)
        .select_from(kept.outerjoin(detail, has_result).outerjoin(done, ended))
        .order_by(kept.c.id)
        .limit(limit)
    )
    rows = c.execute(statement if after is None else statement.where(kept.c.id > after)).all()
    now = cold.clock(c)
    due = [{"at": r.id, "number": r.attempt} for r in rows if r.finished_at is not None and r.finished_at + r.kept <= now]
    if due:
        c.execute(update(detail).where(*_is_named(detail)).values(result=None), due)
    return Dropped(len(due), rows[-1].id if len(rows) == limit else None)


def is_forgettable(row: Any, history: Mapping[int, History], now: int) -> bool:
    """Tell whether the queue of a final row no longer remembers everything of its job. history: of lanes that do not keep all."""
    return row.lane in history and row.outcome != Code.DELETED and bool(row.finished_at + span(HISTORY_DELAY) <= now)


def with_more_than_kept(c: Connection, cold: Cold, rows: Collection[Any], history: Mapping[int, History]) -> set[bytes]:
    """Return the ids of those final rows whose jobs have something that their queue does not keep."""
    found: set[bytes] = set()
    for kept, ids in _by_history(rows, history).items():
        for some in chunks(ids):
            for table, condition in _surplus(cold.tables, kept):
                found.update(c.execute(select(table.c.id).where(among(table.c.id, some), condition).distinct()).scalars())
    return found


def forget(c: Connection, cold: Cold, rows: Collection[Any], history: Mapping[int, History]) -> None:
    """Drop what queues do not keep of jobs whose final rows are these, and locked; checkpoints stay, for a Retry."""
    tables = cold.tables
    detail, done = tables.attempt_detail, tables.done
    for kept, ids in _by_history(rows, history).items():
        [(_, of_detail), (_, of_done)] = _surplus(tables, kept)
        nothing = dict.fromkeys(("result",) if kept is History.FAILURES else ("result", *_ERROR))
        for some in chunks(ids):
            c.execute(update(detail).where(among(detail.c.id, some), of_detail).values(**nothing))
            gone = c.execute(select(done.c.id, done.c.attempt).where(among(done.c.id, some), of_done)).all()
            if gone:
                attempts = [{"at": row.id, "number": row.attempt} for row in gone]
                c.execute(delete(done).where(*_is_named(done)), attempts)
                c.execute(delete(detail).where(*_is_named(detail), detail.c.checkpoint.is_(None)), attempts)


def _is_named(table: Table) -> Sequence[ColumnElement[bool]]:
    return table.c.id == bindparam("at"), table.c.attempt == bindparam("number")


def _by_history(rows: Collection[Any], history: Mapping[int, History]) -> Mapping[History, Sequence[bytes]]:
    found: dict[History, list[bytes]] = {}
    for row in rows:
        found.setdefault(history[row.lane], []).append(row.id)
    return {kept: sorted(ids) for kept, ids in found.items()}


def _surplus(tables: Tables, kept: History) -> Sequence[tuple[Any, ColumnElement[bool]]]:
    """Return which rows of `attempt_detail` and of `done` of a final job are more than its queue keeps."""
    detail, done = tables.attempt_detail, tables.done
    if kept is History.FAILURES:
        return [(detail, detail.c.result.is_not(None)), (done, done.c.outcome == Code.COMPLETED_RETRIED.value)]
    has_any = or_(detail.c.result.is_not(None), detail.c.error_type.is_not(None))
    return [(detail, has_any), (done, done.c.outcome > Code.DELETED.value)]

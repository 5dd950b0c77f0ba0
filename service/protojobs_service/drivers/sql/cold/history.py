"""What jobs have been through, attempt by attempt, with all that is kept of each: one statement."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Connection,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    func,
    literal_column,
    null,
    select,
    type_coerce,
    union_all,
)

from protojobs_service.drivers.sql.cold.base import Cold, chunks, kept, padded
from protojobs_service.drivers.sql.tables import Tables

_DETAILS = ("reason", "error_type", "error_message", "error_stack", "result", "progress_ratio", "progress_message", "progress_at")
_LEFT_OUT = ("error_stack", "result")
"""What is large, and read only by those who want all."""
_NO_ATTEMPT = 0


class History(NamedTuple):
    """attempts: rows in the order of their numbers; outcome None: it runs. labels: only where they were asked for."""

    attempts: list[Any]
    labels: dict[str, str]


def histories(
    c: Connection, cold: Cold, ids: Sequence[bytes], *, labels: bool = False, brief: bool = False
) -> dict[bytes, History]:
    """Return the history of each known job, the deleted ones too.

    A row of an attempt has its number, `outcome`, `worker` (None: nobody had it), `started_at`, `finished_at`, and its details;
    brief: no result and no stack.
    """
    statement = _statement(cold.tables, labels, brief)
    found: dict[bytes, History] = defaultdict(lambda: History([], {}))
    for some in chunks(ids):
        for row in c.execute(statement, {"ids": padded(some)}):
            history = found[row.id]
            if row.key is not None:
                history.labels[row.key] = row.value
            elif row.attempt != _NO_ATTEMPT:
                history.attempts.append(row)
    for history in found.values():
        history.attempts.sort(key=lambda row: row.attempt)
    return found


@kept
def _statement(tables: Tables, labels: bool, brief: bool) -> CompoundSelect[Any]:
    ids: BindParameter[Sequence[bytes]] = bindparam("ids", expanding=True)
    parts = [
        _attempts(tables, tables.done, tables.done.c.finished_at, tables.done.c.outcome, brief=brief).where(
            tables.done.c.id.in_(ids)
        ),
        _attempts(tables, tables.running, null(), null(), brief=brief).where(tables.running.c.id.in_(ids)),
        _bare(tables.job).where(tables.job.c.id.in_(ids)),
        *([_bare(tables.label, key="key", value="value").where(tables.label.c.id.in_(ids))] if labels else []),
    ]
    return union_all(*parts)


def _attempts(tables: Tables, table: Table, finished_at: Any, outcome: Any, *, brief: bool) -> Select[Any]:
    """Select the attempts in `done` or `running`."""
    detail, handle, session, label = tables.attempt_detail, tables.handle, tables.session, tables.label
    source = (
        table.outerjoin(detail, and_(detail.c.id == table.c.id, detail.c.attempt == table.c.attempt))
        .outerjoin(handle, handle.c.id == func.abs(table.c.handle))
        .outerjoin(session, session.c.id == handle.c.session)
    )
    columns: list[ColumnElement[Any]] = [
        table.c.id,
        table.c.attempt,
        finished_at.label("finished_at"),
        outcome.label("outcome"),
        table.c.started_at,
        session.c.worker,
        *(null().label(name) if brief and name in _LEFT_OUT else detail.c[name] for name in _DETAILS),
        type_coerce(null(), label.c.key.type).label("key"),
        type_coerce(null(), label.c.value.type).label("value"),
    ]
    return select(*columns).select_from(source)


def _bare(table: Table, **columns: str) -> Select[Any]:
    """Select rows that are no attempts: of `job`, so that whatever is known has a history, and of `label`."""
    names = ("finished_at", "outcome", "started_at", "worker", *_DETAILS, "key", "value")
    attempt: ColumnElement[Any] = literal_column(str(_NO_ATTEMPT), Integer())
    more = [table.c[columns[name]] if name in columns else null().label(name) for name in names]
    return select(table.c.id, attempt.label("attempt"), *more)

"""Which jobs a filter names, in id order: each state from the table that holds it, so that rare states cost little."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, exists, select, union_all

from protojobs_service.domain.bounds import ID_AHEAD, ID_WINDOW
from protojobs_service.domain.lifecycle import STATE_OF_CODE, Code, State
from protojobs_service.drivers.sql.cold.base import MINUTE, Cold, first_id, span
from protojobs_service.drivers.sql.tables import Tables

_SLACK = 60 * MINUTE
"""Between the store's clock and the one by which ids were checked."""
_CODES = {state: code for code, state in STATE_OF_CODE.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which jobs; None means any. lanes: of these; created_from included, created_to excluded; after excluded, up_to included."""

    lanes: Collection[int] | None = None
    states: Collection[State] | None = None
    labels: Mapping[str, str] | None = None
    created_from: int | None = None
    created_to: int | None = None
    after: bytes | None = None
    up_to: bytes | None = None
    newest_first: bool = False
    limit: int


def find(c: Connection, cold: Cold, wanted: Filter) -> list[bytes]:
    """Return the ids of at most `limit` jobs, in order, none of them deleted."""
    if (wanted.lanes is not None and not wanted.lanes) or (wanted.states is not None and not wanted.states):
        return []
    parts = [_page(cold.tables, wanted, source, conditions) for source, conditions in _sources(cold.tables, wanted)]
    if len(parts) == 1:
        return list(c.execute(parts[0]).scalars())
    # Each part is cut before the union: parentheses are not SQL in every dialect, subqueries are.
    cut = union_all(*(select(part.subquery().c.id) for part in parts)).subquery()
    order = cut.c.id.desc() if wanted.newest_first else cut.c.id
    return list(c.execute(select(cut.c.id).order_by(order).limit(wanted.limit)).scalars())


def _sources(tables: Tables, wanted: Filter) -> list[tuple[Any, list[ColumnElement[bool]]]]:
    """Return the tables to read, each with its condition."""
    if wanted.states is None:
        job, done = tables.job, tables.done
        deleted = exists().where(done.c.id == job.c.id, done.c.outcome == Code.DELETED.value)
        return [(job, [~deleted])]
    states = set(wanted.states)
    found: list[tuple[Any, list[ColumnElement[bool]]]] = []
    if State.RUNNING in states:
        found.append((tables.running, []))
    if State.PENDING in states:
        found.append((tables.ready, []))
    if timed := [state.value for state in (State.SCHEDULED, State.RETRYING) if state in states]:
        found.append((tables.due, [tables.due.c.state.in_(timed)]))
    if State.COMPLETED in states:
        found.append((tables.done, [tables.done.c.outcome == Code.COMPLETED.value]))
    if codes := [_CODES[state] for state in (State.FAILED, State.CANCELLED, State.EXPIRED) if state in states]:
        # The first condition is that of the partial index.
        found.append((tables.done, [tables.done.c.outcome != Code.COMPLETED.value, tables.done.c.outcome.in_(codes)]))
    return found


def _page(tables: Tables, wanted: Filter, source: Any, conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    job, label = tables.job, tables.label
    statement = select(source.c.id).where(*conditions)
    if source is not job and (wanted.created_from is not None or wanted.created_to is not None):
        statement = statement.join_from(source, job, job.c.id == source.c.id)
    if wanted.lanes is not None:
        statement = statement.where(source.c.lane.in_(sorted(wanted.lanes)))
    if wanted.created_from is not None:
        # An id is at most ID_WINDOW older than its job, and ID_AHEAD younger: the index by id spares the rest.
        oldest = first_id(wanted.created_from - span(ID_WINDOW) - _SLACK)
        statement = statement.where(job.c.created_at >= wanted.created_from, source.c.id >= oldest)
    if wanted.created_to is not None:
        youngest = first_id(wanted.created_to + span(ID_AHEAD) + _SLACK)
        statement = statement.where(job.c.created_at < wanted.created_to, source.c.id < youngest)
    if wanted.after is not None:
        statement = statement.where(source.c.id < wanted.after if wanted.newest_first else source.c.id > wanted.after)
    if wanted.up_to is not None:
        statement = statement.where(source.c.id <= wanted.up_to)
    for key, value in (wanted.labels or {}).items():
        labelled = select(label.c.id).where(label.c.key == key, label.c.value == value)
        statement = statement.where(source.c.id.in_(labelled))
    return statement.order_by(source.c.id.desc() if wanted.newest_first else source.c.id).limit(wanted.limit)

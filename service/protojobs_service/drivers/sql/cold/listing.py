"""Which jobs a filter names, in id order: each state from the table that holds it, so that rare states cost little.

Jobs of any state, completed ones, and pending ones where there are many, are read along the ids in spans: no index leads to those
of a queue, and a statement must not walk through everything to find a few.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, exists, func, select, union_all

from protojobs_service.domain.bounds import ID_AHEAD, ID_WINDOW
from protojobs_service.domain.lifecycle import STATE_OF_CODE, Code, State
from protojobs_service.drivers.sql.cold.base import MINUTE, Cold, first_id, span
from protojobs_service.drivers.sql.cold.standing import waits_in_ready
from protojobs_service.drivers.sql.tables import Tables

_SLACK = 60 * MINUTE
"""Between the store's clock and the one by which ids were checked."""
_CODES = {state: code for code, state in STATE_OF_CODE.items()}
_CROWD = 20_000
"""So many pending jobs are not read whole to find those with the first ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which jobs; None means any. lanes: of these; created_from included, created_to excluded; after excluded, up_to included.

    labels: each key with the values of which it has one.
    """

    lanes: Collection[int] | None = None
    states: Collection[State] | None = None
    labels: Sequence[tuple[str, Sequence[str]]] = ()
    parents: Collection[bytes] | None = None
    created_from: int | None = None
    created_to: int | None = None
    after: bytes | None = None
    up_to: bytes | None = None
    newest_first: bool = False
    limit: int


class Part(NamedTuple):
    """Some of the jobs, and where to go on after them; None: there are no more."""

    ids: list[bytes]
    after: bytes | None


def find(c: Connection, cold: Cold, wanted: Wanted) -> list[bytes]:
    """Return the ids of at most `limit` jobs, in order, none of them deleted."""
    return _find(c, cold, wanted, crowded=False)


def find_part(c: Connection, cold: Cold, wanted: Wanted, look: int) -> Part:
    """Return the next jobs, at most `limit`, having looked at no more than about `look` others."""
    if _is_for_nobody(wanted):
        return Part([], None)
    crowded = _is_crowded(c, cold, wanted)
    long = wanted.states is None or State.COMPLETED in wanted.states or crowded
    end = _end_of_span(c, cold, wanted, look) if long else None
    ids = _find(c, cold, replace(wanted, up_to=end, limit=wanted.limit + 1), crowded=crowded)
    return Part(ids[: wanted.limit], ids[wanted.limit - 1] if len(ids) > wanted.limit else end)


def _is_for_nobody(wanted: Wanted) -> bool:
    return any(of is not None and not of for of in (wanted.lanes, wanted.states, wanted.parents))


def _is_crowded(c: Connection, cold: Cold, wanted: Wanted) -> bool:
    if wanted.states is None or State.PENDING not in wanted.states:
        return False
    counter = cold.tables.counter
    pending = select(func.sum(counter.c.n)).where(counter.c.state == State.PENDING.value)
    if wanted.lanes is not None:
        pending = pending.where(counter.c.lane.in_(sorted(wanted.lanes)))
    return (c.execute(pending).scalar() or 0) > _CROWD


def _end_of_span(c: Connection, cold: Cold, wanted: Wanted, look: int) -> bytes | None:
    """Return the id at which to stop for now; None where fewer than `look` are left."""
    job = cold.tables.job
    ids = select(job.c.id).where(*_within(job.c.id, wanted)).offset(look - 1).limit(1)
    return c.execute(ids.order_by(job.c.id.desc() if wanted.newest_first else job.c.id)).scalar()


def _find(c: Connection, cold: Cold, wanted: Wanted, *, crowded: bool) -> list[bytes]:
    if _is_for_nobody(wanted):
        return []
    sources = _sources(cold.tables, wanted, crowded=crowded)
    parts = [_page(cold.tables, wanted, source, conditions) for source, conditions in sources]
    if len(parts) == 1:
        return list(c.execute(parts[0]).scalars())
    # Each part is cut before the union: parentheses are not SQL in every dialect, subqueries are.
    cut = union_all(*(select(part.subquery().c.id) for part in parts)).subquery()
    order = cut.c.id.desc() if wanted.newest_first else cut.c.id
    return list(c.execute(select(cut.c.id).order_by(order).limit(wanted.limit)).scalars())


def _sources(tables: Tables, wanted: Wanted, *, crowded: bool) -> list[tuple[Any, list[ColumnElement[bool]]]]:
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
        found.append((tables.job, [exists().where(waits_in_ready(tables))]) if crowded else (tables.ready, []))
        found.append((tables.held, []))
    if timed := [state.value for state in (State.SCHEDULED, State.RETRYING) if state in states]:
        found.append((tables.due, [tables.due.c.state.in_(timed)]))
    if State.COMPLETED in states:
        found.append((tables.done, [tables.done.c.outcome == Code.COMPLETED.value]))
    if codes := [_CODES[state] for state in (State.FAILED, State.CANCELLED, State.EXPIRED) if state in states]:
        # The first condition is that of the partial index.
        found.append((tables.done, [tables.done.c.outcome != Code.COMPLETED.value, tables.done.c.outcome.in_(codes)]))
    return found


def _page(tables: Tables, wanted: Wanted, source: Any, conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    job, label, parent = tables.job, tables.label, tables.parent
    statement = select(source.c.id).where(*conditions, *_within(source.c.id, wanted))
    if source is not job and (wanted.created_from is not None or wanted.created_to is not None):
        statement = statement.join_from(source, job, job.c.id == source.c.id)
    if wanted.lanes is not None:
        statement = statement.where(source.c.lane.in_(sorted(wanted.lanes)))
    if wanted.created_from is not None:
        statement = statement.where(job.c.created_at >= wanted.created_from)
    if wanted.created_to is not None:
        statement = statement.where(job.c.created_at < wanted.created_to)
    for key, values in wanted.labels:
        labelled = select(label.c.id).where(label.c.key == key, label.c.value.in_(values))
        statement = statement.where(source.c.id.in_(labelled))
    if wanted.parents is not None:
        statement = statement.where(source.c.id.in_(select(parent.c.id).where(parent.c.parent.in_(sorted(wanted.parents)))))
    return statement.order_by(source.c.id.desc() if wanted.newest_first else source.c.id).limit(wanted.limit)


def _within(job_id: ColumnElement[Any], wanted: Wanted) -> Iterable[ColumnElement[bool]]:
    """Yield what is said of the id itself, and so spares the index what lies outside."""
    # An id is at most ID_WINDOW older than its job, and ID_AHEAD younger.
    if wanted.created_from is not None:
        yield job_id >= first_id(wanted.created_from - span(ID_WINDOW) - _SLACK)
    if wanted.created_to is not None:
        yield job_id < first_id(wanted.created_to + span(ID_AHEAD) + _SLACK)
    if wanted.after is not None:
        yield job_id < wanted.after if wanted.newest_first else job_id > wanted.after
    if wanted.up_to is not None:
        yield job_id >= wanted.up_to if wanted.newest_first else job_id <= wanted.up_to

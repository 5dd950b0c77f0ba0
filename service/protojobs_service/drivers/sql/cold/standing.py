"""Where ids stand: the one statement, hence one snapshot, that says so."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, select

from protojobs_service.domain.lifecycle import STATE_OF_CODE, Code, State
from protojobs_service.drivers.sql.cold.base import Cold, chunks, kept, padded
from protojobs_service.drivers.sql.tables import Tables


class Standing(NamedTuple):
    """What the store knows of an id. state None: deleted. row: columns of `job`, and of where it stands.

    attempt, failures, crashes, flags, handle and started_at are those of running, due, held, ready or the final attempt.
    """

    id: bytes
    lane: int
    queue: str
    kind: str
    band: int
    state: State | None
    attempt: int
    failures: int
    crashes: int
    flags: int
    handle: int
    due_at: int | None
    started_at: int | None
    finished_at: int | None
    created_at: int
    size: int
    policy: str | None
    spec_hash: bytes | None
    envelope: bytes
    expire_at: int | None
    parent: bytes | None


def standing(
    c: Connection, cold: Cold, ids: Iterable[bytes], *, envelopes: bool = False, origins: bool = False
) -> dict[bytes, Standing]:
    """Return where each known id stands, the deleted ones too. Only where asked: the envelope; deadline and parent (`origins`)."""
    statement = _statement(cold.tables, envelopes, origins)
    found: dict[bytes, Standing] = {}
    for some in chunks(list(ids)):
        for row in c.execute(statement, {"ids": padded(some)}).mappings():
            found[row["id"]] = _standing(row)
    return found


@kept
def _statement(tables: Tables, envelopes: bool, origins: bool) -> Select[Any]:
    job, lane, running, due = tables.job, tables.lane, tables.running, tables.due
    held, ready, done = tables.held, tables.ready, tables.done
    source = (
        job.join(lane, lane.c.id == job.c.lane)
        .outerjoin(running, running.c.id == job.c.id)
        .outerjoin(due, due.c.id == job.c.id)
        .outerjoin(held, held.c.id == job.c.id)
        .outerjoin(ready, waits_in_ready(tables))
        .outerjoin(done, and_(done.c.id == job.c.id, done.c.outcome <= Code.DELETED.value))
    )
    columns: list[ColumnElement[Any]] = [
        *(job.c[name] for name in ("id", "lane", "band", "created_at", "policy", "spec_hash")),
        lane.c.queue,
        lane.c.kind,
        func.length(job.c.envelope).label("size"),
        *(running.c[name].label(f"running_{name}") for name in ("attempt", "failures", "crashes", "flags", "handle", "started_at")),
        *(due.c[name].label(f"due_{name}") for name in ("attempt", "failures", "crashes", "flags", "due_at", "state")),
        *(held.c[name].label(f"held_{name}") for name in ("attempt", "failures", "crashes", "flags")),
        *(ready.c[name].label(f"ready_{name}") for name in ("attempt", "failures", "crashes", "flags")),
        *(done.c[name].label(f"done_{name}") for name in ("attempt", "handle", "started_at", "finished_at", "outcome")),
        *([job.c.envelope] if envelopes else []),
    ]
    if origins:
        deadline, parent = tables.deadline, tables.parent
        source = source.outerjoin(deadline, deadline.c.id == job.c.id).outerjoin(parent, parent.c.id == job.c.id)
        columns += [deadline.c.expire_at, parent.c.parent]
    return select(*columns).select_from(source).where(job.c.id.in_(bindparam("ids", expanding=True)))


def waits_in_ready(tables: Tables) -> ColumnElement[bool]:
    """Return the condition that joins a `job` row to its row in `ready`, along the index."""
    names: Sequence[str] = ("lane", "band", "position", "id")
    return and_(*(tables.ready.c[name] == tables.job.c[name] for name in names))


def _standing(row: Any) -> Standing:
    state, source = _state(row)
    attempt, failures, crashes, flags, handle = (
        row.get(f"{source}_{name}") or 0 for name in ("attempt", "failures", "crashes", "flags", "handle")
    )
    return Standing(
        id=row["id"],
        lane=row["lane"],
        queue=row["queue"],
        kind=row["kind"],
        band=row["band"],
        state=state,
        attempt=attempt,
        failures=failures,
        crashes=crashes,
        flags=flags,
        handle=handle,
        due_at=row["due_due_at"] if source == "due" else None,
        started_at=row.get(f"{source}_started_at"),
        finished_at=row["done_finished_at"] if source == "done" else None,
        created_at=row["created_at"],
        size=row["size"],
        policy=row["policy"],
        spec_hash=row["spec_hash"],
        envelope=row.get("envelope", b""),
        expire_at=row.get("expire_at"),
        parent=row.get("parent"),
    )


def _state(row: Any) -> tuple[State | None, str]:
    if row["running_attempt"] is not None:
        return State.RUNNING, "running"
    if row["due_attempt"] is not None:
        return State(row["due_state"]), "due"
    if row["held_attempt"] is not None:
        return State.PENDING, "held"
    if row["ready_attempt"] is not None:
        return State.PENDING, "ready"
    return STATE_OF_CODE.get(row["done_outcome"]), "done"

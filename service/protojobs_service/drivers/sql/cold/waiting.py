"""Jobs that wait: taking them out of `ready`, `held` and `due`, putting them in, and ending them there."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, select, tuple_

from protojobs_service.domain.lifecycle import STATE_OF_CODE, Code, State
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, delete_ids, insert_all
from protojobs_service.drivers.sql.cold.ends import End, note
from protojobs_service.drivers.sql.cold.keys import free_keys
from protojobs_service.drivers.sql.cold.places import admit, free, take_held
from protojobs_service.drivers.sql.cold.rows import Arrival, Placed, Waiting, insert_ready, row_of
from protojobs_service.drivers.sql.mysql_keys import BY_KEY, delete_of_places
from protojobs_service.drivers.sql.tables import FREES_KEY, HAS_DEADLINE, PLACE

__all__ = [
    "Arrival",
    "Waiting",
    "drop_deadlines",
    "end_waiting",
    "lock_waiting",
    "put_due",
    "put_ready",
    "take_due",
    "take_pending",
    "take_ready",
]


def take_pending(c: Connection, cold: Cold, ids: Sequence[bytes]) -> list[Waiting]:
    """Take pending jobs out of where they stand, `held` first: from there they go to `ready`, never back."""
    return take_held(c, cold, ids) + take_ready(c, cold, ids)


def take_ready(c: Connection, cold: Cold, ids: Sequence[bytes]) -> list[Waiting]:
    """Take pending jobs out of `ready`, found through the position that `job` knows; those that are not there are left out."""
    ready, job = cold.tables.ready, cold.tables.job
    place = tuple_(ready.c.lane, ready.c.band, ready.c.position, ready.c.id)
    columns = [ready.c[name] for name in Waiting._fields[:-1]]
    taken: list[Waiting] = []
    for some in chunks(ids):
        places = select(job.c.lane, job.c.band, job.c.position, job.c.id).where(among(job.c.id, some))
        if c.dialect.name == "mysql":  # a subquery would be run for every row of `ready`
            at = {row.id: tuple(row) for row in c.execute(places)}
            locked = select(*columns).with_hint(ready, BY_KEY, "mysql").where(place.in_(list(at.values()))).with_for_update()
            rows: Sequence[Any] = c.execute(locked).all() if at else []
            if rows:
                c.exec_driver_sql(delete_of_places(ready, [at[row.id] for row in rows]))
        else:
            rows = c.execute(delete(ready).where(place.in_(places)).returning(*columns)).all()
        taken += [Waiting(*row) for row in rows]
    return taken


def lock_waiting(c: Connection, cold: Cold, ids: Sequence[bytes]) -> None:
    """Lock jobs where they wait, in the order of `take_pending` and `take_due`; those that do not are left out."""
    if c.dialect.name == "sqlite":  # one writer at a time
        return
    ready, held, due, job = cold.tables.ready, cold.tables.held, cold.tables.due, cold.tables.job
    place = tuple_(ready.c.lane, ready.c.band, ready.c.position, ready.c.id)
    pending = select(ready.c.id).with_hint(ready, BY_KEY, "mysql").order_by(ready.c.id).with_for_update()
    for some in chunks(sorted(ids)):
        waits = select(held.c.id).with_hint(held, BY_KEY, "mysql").where(among(held.c.id, some)).order_by(held.c.id)
        c.execute(waits.with_for_update()).all()
        places: Any = select(job.c.lane, job.c.band, job.c.position, job.c.id).where(among(job.c.id, some))
        if c.dialect.name == "mysql":  # as in take_ready
            places = [tuple(row) for row in c.execute(places)]
        c.execute(pending.where(place.in_(places))).all()
        later = select(due.c.id).with_hint(due, BY_KEY, "mysql").where(among(due.c.id, some)).order_by(due.c.id)
        c.execute(later.with_for_update()).all()


def take_due(c: Connection, cold: Cold, ids: Sequence[bytes], *, state: State | None = None) -> list[Waiting]:
    """Take jobs out of `due` (of one state only where given)."""
    due = cold.tables.due
    columns = [due.c[name] for name in Waiting._fields]
    taken: list[Waiting] = []
    for some in chunks(ids):
        chosen = [among(due.c.id, some), *([] if state is None else [due.c.state == state.value])]
        if c.dialect.name == "mysql":
            rows = c.execute(select(*columns).with_hint(due, BY_KEY, "mysql").where(*chosen).with_for_update()).all()
            delete_ids(c, due, [row.id for row in rows])
        else:
            rows = c.execute(delete(due).where(*chosen).returning(*columns)).all()
        taken += [Waiting._make([*row[:-1], State(row[-1])]) for row in rows]
    return taken


def put_ready(c: Connection, cold: Cold, jobs: Sequence[Placed], *, moved: bool = True) -> list[Placed]:
    """Let jobs wait for a worker: returns those that are claimable, the others wait for a place of their key.

    moved False: their `job` rows have these positions already.
    """
    admitted = admit(c, cold, jobs)
    insert_ready(c, cold, admitted, moved=moved)
    return admitted


def put_due(c: Connection, cold: Cold, jobs: Sequence[tuple[Waiting, int]]) -> None:
    """Make jobs wait for their time: (job, due_at)."""
    insert_all(c, cold.tables.due, [row_of(job) | {"due_at": at, "state": job.state.value} for job, at in jobs])


def end_waiting(
    c: Connection, cold: Cold, jobs: Sequence[Waiting], code: Code, now: int, reason: str = ""
) -> Counter[tuple[int, State]]:
    """End jobs that were taken out of where they waited, under the next attempt number, which no worker gets.

    reason: by default the code's name. Their places go to others of their concurrency keys, which claims find by the counters.
    Returns what to tally: the caller does, as the last it does, because a counter is a lock that everybody needs.
    """
    tables = cold.tables
    ended = [
        {"id": job.id, "attempt": job.attempt + 1, "lane": job.lane, "finished_at": now, "outcome": code.value} for job in jobs
    ]
    insert_all(c, tables.done, ended)
    note(c, cold, [End(job.id, job.attempt + 1, code, job.state, STATE_OF_CODE.get(code)) for job in jobs])
    if code is not Code.DELETED:
        reasons = [{"id": row["id"], "attempt": row["attempt"], "reason": reason or code.name} for row in ended]
        insert_all(c, tables.attempt_detail, reasons)
    drop_deadlines(c, cold, [job.id for job in jobs if job.flags & HAS_DEADLINE])
    free_keys(c, cold, [job.id for job in jobs if job.flags & FREES_KEY])
    free(c, cold, [job.id for job in jobs if job.flags & PLACE])
    changes = Counter({(lane, state): -n for (lane, state), n in Counter((job.lane, job.state) for job in jobs).items()})
    if code in STATE_OF_CODE:
        changes.update((job.lane, STATE_OF_CODE[code]) for job in jobs)
    return changes


def drop_deadlines(c: Connection, cold: Cold, ids: Sequence[bytes]) -> None:
    """Forget the expire times of jobs."""
    delete_ids(c, cold.tables.deadline, ids)

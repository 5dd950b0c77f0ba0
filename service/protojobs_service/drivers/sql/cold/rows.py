"""The rows of jobs that wait, as every road into and out of `ready`, `due` and `held` has them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, update

from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.sql.cold.base import Cold, insert_all


class Waiting(NamedTuple):
    """A job on its way out of or into `ready`, `due` or `held`, with what its row carries."""

    id: bytes
    lane: int
    band: int
    attempt: int
    failures: int
    crashes: int
    flags: int
    size: int
    state: State = State.PENDING


class Arrival(NamedTuple):
    """A place in `ready` that has got jobs. front: before all arrivals, or where a claim may have looked already."""

    lane: int
    band: int
    front: bool = False


Placed = tuple[Waiting, int]
"""A job and its position in `ready`."""


def row_of(job: Waiting) -> dict[str, Any]:
    """Return the columns that all three tables have."""
    row = job._asdict()
    del row["state"]
    return row


def insert_ready(c: Connection, cold: Cold, jobs: Sequence[Placed], *, moved: bool) -> None:
    """Make jobs claimable. moved False: their `job` rows have these positions already."""
    rows = [row_of(job) | {"position": position} for job, position in jobs]
    insert_all(c, cold.tables.ready, rows)
    if rows and moved:
        job = cold.tables.job
        statement = update(job).where(job.c.id == bindparam("at")).values(position=bindparam("to"))
        c.execute(statement, [{"at": row["id"], "to": row["position"]} for row in sorted(rows, key=lambda row: row["id"])])

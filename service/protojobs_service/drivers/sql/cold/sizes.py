"""How many bytes jobs are to those who read them, before anybody does."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from protojobs_service.drivers.sql.cold.base import Cold, among, chunks

_BRIEF = ("error_message",)
_WHOLE = (*_BRIEF, "error_stack", "result")


def sizes(c: Connection, cold: Cold, ids: Sequence[bytes], *, brief: bool = False) -> list[int]:
    """Return the bytes of jobs by place: of the envelope, and of errors and results (only messages if `brief`); 0 if unknown."""
    job, detail = cold.tables.job, cold.tables.attempt_detail
    parts: list[ColumnElement[Any]] = [func.coalesce(func.length(detail.c[name]), 0) for name in (_BRIEF if brief else _WHOLE)]
    details = select(func.sum(reduce(lambda one, other: one + other, parts))).where(detail.c.id == job.c.id).scalar_subquery()
    statement = select(job.c.id, func.length(job.c.envelope).label("envelope"), details.label("details"))
    rows = [row for some in chunks(ids) for row in c.execute(statement.where(among(job.c.id, some)))]
    found = {row.id: row.envelope + int(row.details or 0) for row in rows}
    return [found.get(job_id, 0) for job_id in ids]

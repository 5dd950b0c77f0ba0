"""Outlines of jobs: what those see who act on many, without payloads."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from protojobs_service.domain.job import JobId
from protojobs_service.drivers.sql.cold.base import Cold, among, chunks, moment
from protojobs_service.drivers.sql.cold.standing import standing
from protojobs_service.port.jobs import Outline


def outlines(c: Connection, cold: Cold, ids: Sequence[bytes]) -> dict[bytes, Outline]:
    """Return the jobs of these ids that exist and are not deleted."""
    done = cold.tables.done
    last = select(done.c.id, func.max(done.c.finished_at).label("at")).group_by(done.c.id)
    ended = {row.id: row.at for some in chunks(ids) for row in c.execute(last.where(among(done.c.id, some)))}
    return {
        job_id: Outline(
            JobId(job_id),
            at.queue,
            10 - at.band,
            at.state,
            at.attempt,
            moment(max(at.created_at, ended.get(job_id, 0))),
            at.size,
        )
        for job_id, at in standing(c, cold, ids).items()
        if at.state is not None
    }

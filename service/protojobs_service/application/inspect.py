"""Inspect: read jobs and their attempts, and delete what nobody needs any more."""

from collections.abc import Sequence

from protojobs_service.application.wait import Wait
from protojobs_service.domain.errors import JobNotFound, JobRunning
from protojobs_service.domain.job import AttemptRecord, JobId, JobRecord
from protojobs_service.domain.lifecycle import State
from protojobs_service.port import Driver, JobPage, ListQuery


class Inspect:
    """Reads and deletes jobs."""

    def __init__(self, driver: Driver, wait: Wait) -> None:
        self._driver = driver
        self._wait = wait

    async def get(self, job_id: JobId) -> JobRecord:
        """Return one job from one snapshot. Raises JobNotFound, StoreUnavailable."""
        [record] = await self._driver.jobs.get([job_id])
        if record is None:
            raise JobNotFound
        return record

    async def queue(self, job_id: JobId) -> str | None:
        """Return the queue of a job; None where there is no such job, or no longer. Raises StoreUnavailable."""
        [outline] = await self._driver.jobs.outline([job_id])
        return None if outline is None else outline.queue

    async def list(self, query: ListQuery) -> JobPage:
        """Return jobs by id order, at most `query.limit`; none may be returned although more follow. Raises StoreUnavailable."""
        return await self._driver.jobs.list(query)

    async def attempts(self, job_id: JobId) -> Sequence[AttemptRecord]:
        """Return all attempts of a job, oldest first. Raises JobNotFound, StoreUnavailable."""
        attempts = await self._driver.jobs.attempts(job_id)
        if attempts is None:
            raise JobNotFound
        return attempts

    async def delete(self, job_id: JobId) -> None:
        """Remove a job with its history; its id stays taken. Idempotent. Raises JobNotFound, JobRunning, StoreUnavailable."""
        [result] = await self._driver.jobs.delete([job_id])
        if not result.found:
            raise JobNotFound
        if result.state is State.RUNNING:
            raise JobRunning
        self._wait.ended([job_id])

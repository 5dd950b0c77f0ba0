"""Retry: take a final job up again, or run a waiting one now."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from protojobs_service.domain.errors import Conflict, DuplicateJob, JobNotFinal, JobNotFound
from protojobs_service.domain.job import JobId, JobRecord
from protojobs_service.domain.lifecycle import State
from protojobs_service.port import Driver, Retake

Edit = Callable[[bytes], bytes]
"""Envelope as stored -> envelope with the new payload; raises InvalidField and PayloadTooLarge."""


class Retried(NamedTuple):
    """State after the call. already: the job had gone on from the expected attempt before."""

    state: State
    already: bool


class Retry:
    """Takes jobs up again."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def one(self, retake: Retake, edit: Edit | None = None) -> Retried:
        """Apply `retake`; with `edit` the envelope is read, edited and stored under the attempt that was read.

        Raises JobNotFound, JobNotFinal (pending or running), DuplicateJob (another job has its unique key), Conflict (changed while
        it was edited; its payload is no longer kept), StoreUnavailable.
        """
        seen = retake.expected_attempt
        if edit is not None:
            retake = await self._edited(retake, edit)
        [result] = await self._driver.jobs.retake([retake])
        if not result.found or result.state is None:
            raise JobNotFound
        if result.refused:
            raise JobNotFinal
        if result.duplicate is not None:
            raise DuplicateJob(result.duplicate)
        if result.changed or (result.already and seen == 0 and edit is not None):
            raise Conflict
        return Retried(result.state, result.already)

    async def _edited(self, retake: Retake, edit: Edit) -> Retake:
        record = await self._record(retake.id)
        if retake.expected_attempt and record.attempt > retake.expected_attempt:
            return retake
        if not record.envelope:
            raise Conflict("the job's payload is no longer kept")
        attempt = retake.expected_attempt or record.attempt
        return replace(retake, expected_attempt=attempt, envelope=edit(record.envelope), over=record.envelope)

    async def _record(self, job_id: JobId) -> JobRecord:
        [record] = await self._driver.jobs.get([job_id])
        if record is None:
            raise JobNotFound
        return record

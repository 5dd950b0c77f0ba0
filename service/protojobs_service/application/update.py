"""UpdateJob: change a job that waits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from protojobs_service.application.known_queues import KnownQueues
from protojobs_service.application.store_time import StoreTime
from protojobs_service.domain.errors import DuplicateJob, InvalidField, JobFinal, JobNotFound, JobRunning
from protojobs_service.domain.job import JobId, JobRecord
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.retry import Policy, PolicyChanges
from protojobs_service.port import Driver, Edit


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What an UpdateJob sets; None leaves what is stored.

    envelope: makes the new one of the stored one, and is pure. start: a time, or a delay from the store's now. retry: over the
    policy of the job's queue; its run_timeout is not looked at.
    """

    envelope: Callable[[bytes], bytes]
    queue: str | None = None
    priority: int | None = None
    start: datetime | timedelta | None = None
    labels: Mapping[str, str] | None = None
    retry: PolicyChanges | None = None


class Update:
    """Changes jobs that wait."""

    def __init__(self, driver: Driver, queues: KnownQueues, store_time: StoreTime) -> None:
        self._driver = driver
        self._queues = queues
        self._store_time = store_time

    async def one(self, job_id: JobId, changes: Changes) -> JobRecord:
        """Return the job after the change. Idempotent, but that a delay counts anew.

        Raises JobNotFound, JobRunning, JobFinal, InvalidField (it would expire before it starts), DuplicateJob, QuotaExceeded,
        Conflict, StoreUnavailable, and what `changes.envelope` raises.
        """
        self._check_start(await self._record(job_id), changes.start)
        edit = Edit(
            id=job_id,
            envelope=changes.envelope,
            queue=changes.queue,
            priority=changes.priority,
            start=changes.start,
            labels=changes.labels,
            policy=None if changes.retry is None else self._policy(changes.retry),
        )
        [result] = await self._driver.jobs.edit([edit])
        if result.duplicate is not None:
            raise DuplicateJob(result.duplicate)
        if not result.found or result.state is None:
            raise JobNotFound
        if result.state is State.RUNNING:
            raise JobRunning
        if result.state.is_final:
            raise JobFinal
        return await self._record(job_id)

    def _check_start(self, job: JobRecord, start: datetime | timedelta | None) -> None:
        if start is None or job.expire_at is None:
            return
        at = self._store_time.now() + start if isinstance(start, timedelta) else start
        if at >= job.expire_at:
            field = "delay" if isinstance(start, timedelta) else "run_time"
            raise InvalidField(f"spec.{field}", "must be before the expire_time of the job")

    def _policy(self, retry: PolicyChanges) -> Callable[[str, Policy], Policy]:
        def policy(queue: str, old: Policy) -> Policy:
            return replace(retry.over(self._queues.settings(queue).policy), run_timeout=old.run_timeout)

        return policy

    async def _record(self, job_id: JobId) -> JobRecord:
        [record] = await self._driver.jobs.get([job_id])
        if record is None:
            raise JobNotFound
        return record

"""Wait: hold a caller until a job is final."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

from protojobs_service.application.clock import Clock
from protojobs_service.domain.errors import JobNotFound
from protojobs_service.domain.job import JobId, JobRecord
from protojobs_service.port import Driver

_MOST_PER_POLL = 1000


class Wait:
    """Knows who waits for which job: told at once by this replica's settles, else by one poll for all of them."""

    def __init__(self, driver: Driver, clock: Clock) -> None:
        self._driver = driver
        self._clock = clock
        self._waiting: dict[JobId, set[asyncio.Event]] = {}

    @property
    def any(self) -> bool:
        """Tell whether anybody waits: callers on the hot path look before they collect ids."""
        return bool(self._waiting)

    async def final(self, job_id: JobId, wait: timedelta) -> JobRecord:
        """Return the job once it is final, or as it is after `wait`. Raises JobNotFound, StoreUnavailable."""
        until = self._clock.monotonic() + wait.total_seconds()
        event = asyncio.Event()
        self._waiting.setdefault(job_id, set()).add(event)
        try:
            while True:
                event.clear()
                [record] = await self._driver.jobs.get([job_id])
                if record is None:
                    raise JobNotFound
                left = until - self._clock.monotonic()
                if record.state.is_final or left <= 0:
                    return record
                await self._clock.wait(event, left)
        finally:
            self._forget(job_id, event)

    def ended(self, ids: Iterable[JobId]) -> None:
        """Wake those who wait for these jobs."""
        if self._waiting:
            for job_id in ids:
                for event in self._waiting.get(job_id, ()):
                    event.set()

    async def poll(self) -> None:
        """Look once for all jobs that are waited for, at most 1000 a turn. Raises StoreUnavailable."""
        ids = list(self._waiting)[:_MOST_PER_POLL]
        if not ids:
            return
        records = await self._driver.jobs.get(ids)
        self.ended(job_id for job_id, record in zip(ids, records, strict=True) if record is None or record.state.is_final)
        for job_id in ids:  # the others come first in the next turn
            if (events := self._waiting.pop(job_id, None)) is not None:
                self._waiting[job_id] = events

    def _forget(self, job_id: JobId, event: asyncio.Event) -> None:
        events = self._waiting.get(job_id)
        if events is not None:
            events.discard(event)
            if not events:
                del self._waiting[job_id]

"""Cancel: end a waiting job at once, ask for the end of a running one."""

from datetime import timedelta

from protojobs_service.application.wait import Wait
from protojobs_service.domain.bounds import DEFAULT_CANCEL_DEADLINE
from protojobs_service.domain.errors import JobFinal, JobNotFound
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import State
from protojobs_service.port import Driver


class Cancel:
    """Cancels jobs."""

    def __init__(self, driver: Driver, wait: Wait) -> None:
        self._driver = driver
        self._wait = wait

    async def one(self, job_id: JobId, deadline: timedelta = DEFAULT_CANCEL_DEADLINE) -> State:
        """Return CANCELLED, or RUNNING where the worker is asked and has `deadline` to end it. Idempotent.

        Raises JobNotFound, JobFinal (completed, failed or expired before), StoreUnavailable.
        """
        [result] = await self._driver.jobs.cancel([job_id], deadline)
        if not result.found or result.state is None:
            raise JobNotFound
        if result.state.is_final:
            self._wait.ended([job_id])
            if result.state is not State.CANCELLED:
                raise JobFinal
        return result.state

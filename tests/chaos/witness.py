"""The store as one more witness: every job and attempt through the public RPCs, Stats, and a recount in the tables."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from protojobs_client import AsyncClient, JobInfo, JobState

from tests.chaos.producer import stated
from tests.chaos.stores import Store
from tests.checker import Recorder

_AT_ONCE: Final = 32


async def dump(
    client: AsyncClient, store: Store | None, recorder: Recorder, queues: Sequence[str], *, quiet: Sequence[str] = ()
) -> None:
    """Write what the store holds of `queues`; those of `quiet` have had the time to drain.

    Attempts are read for every job that is more than one run that completed. Nothing may change meanwhile.
    """
    wall = time.time()
    jobs = [job async for job in client.list(queues=queues, page_size=500, oldest_first=True)]
    for job in jobs:
        recorder.write("dump", "job", job=job.id, **_job(job))
    free = asyncio.Semaphore(_AT_ONCE)

    async def attempts(job: JobInfo) -> None:
        async with free:
            async for attempt in client.attempts(job.id):
                recorder.write(
                    "dump",
                    "attempt",
                    job=job.id,
                    attempt=attempt.attempt,
                    outcome=attempt.outcome.name,
                    worker=attempt.worker,
                    reason=attempt.reason,
                    started_at=_seconds(attempt.started_at),
                    finished_at=_seconds(attempt.finished_at),
                    retaken=attempt.retried_by_hand,
                )

    async with asyncio.TaskGroup() as group:
        for job in jobs:
            if job.attempt > 1 or job.state not in {JobState.COMPLETED, JobState.PENDING, JobState.SCHEDULED}:
                group.create_task(attempts(job))
    recorder.write("dump", "all", queues=list(queues))
    for numbers in (await client.stats()).queues:
        if numbers.queue in queues:
            recorder.write("dump", "stats", queue=numbers.queue, counts=stated(numbers))
    for queue, counts in (store.recount() if store else {}).items():
        if queue in queues:
            recorder.write("dump", "recount", queue=queue, counts=counts)
    if quiet:
        recorder.write("dump", "quiet", queues=list(quiet), wall=wall)


def _job(job: JobInfo) -> dict[str, Any]:
    return {
        "queue": job.queue,
        "state": job.state.name,
        "attempt": job.attempt,
        "failures": job.failures,
        "crashes": job.crashes,
        "reason": job.reason,
        "next_at": _seconds(job.next_at),
        "parent": job.parent_job_id,
        "labels": dict(job.labels),
    }


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()

"""A fake client and a server with a client of it, with the same face: what is asked of both."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest
from protojobs.v1 import job_pb2, worker_service_pb2
from protojobs_client import (
    AsyncClient,
    JobId,
    JobState,
    Options,
    RetryPolicy,
)
from protojobs_client.errors import (
    ProtoJobsError,
)
from protojobs_client.models import BulkAction
from protojobs_client.testing import FakeAsyncClient

from tests.wire.lease_worker import UnaryWorker, complete, outcome, serving

UNKNOWN = "01990000-0000-7000-8000-000000000001"
ONCE = RetryPolicy(max_retries=0)
LATER = 3600


class Side(Protocol):
    """A client, and a worker's part in what becomes of its jobs."""

    client: AsyncClient

    def now(self) -> datetime:
        """Return the time."""
        ...

    async def begin(self) -> JobId:
        """Lease the next job."""
        ...

    async def end(self, job_id: JobId, *, fails: bool = False) -> None:
        """End it."""
        ...


class Fake:
    """The side without a server."""

    def __init__(self, client: FakeAsyncClient) -> None:
        self.client: AsyncClient = client
        self._store = client.store

    def now(self) -> datetime:
        return self._store.now

    async def begin(self) -> JobId:
        job = self._store.due()[0]
        self._store.begin(job)
        return job.id

    async def end(self, job_id: JobId, *, fails: bool = False) -> None:
        job, final = self._store.job(job_id), JobState.COMPLETED
        if fails:
            job.failures += 1
            job.error = job_pb2.JobError(type="E", message="m")
            final = JobState.RETRYING if job.failures <= job.max_retries else JobState.FAILED
        self._store.end(job, final, wait=job.backoff() if final is JobState.RETRYING else None)


class Real:
    """The side with one."""

    def __init__(self, client: AsyncClient, worker: UnaryWorker) -> None:
        self.client = client
        self._worker = worker
        self._leased: dict[str, Any] = {}

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def begin(self) -> JobId:
        [item] = await self._worker.get(1)
        self._leased[item.job_id] = item
        return JobId(item.job_id)

    async def end(self, job_id: JobId, *, fails: bool = False) -> None:
        item = self._leased.pop(job_id)
        error = job_pb2.JobError(type="E", message="m")
        await self._worker.settle(outcome(item, fail=worker_service_pb2.Fail(error=error)) if fails else complete(item))


@asynccontextmanager
async def faked() -> AsyncGenerator[Side]:
    async with FakeAsyncClient() as client:
        yield Fake(client)


@asynccontextmanager
async def served() -> AsyncGenerator[Side]:
    async with serving() as service, AsyncClient(options=Options(address=service.address)) as client:
        yield Real(client, await UnaryWorker.open(service))


SIDES: Mapping[str, Any] = {"fake": faked, "server": served}


async def refusal(call: Any) -> tuple[type[ProtoJobsError], str, tuple[str, ...]]:
    """Return how a call is refused: by which error, for which reason and fields."""
    with pytest.raises(ProtoJobsError) as refused:
        await call
    return type(refused.value), refused.value.reason, tuple(each.field for each in refused.value.violations)


async def put(client: AsyncClient, number: int = 1, **options: Any) -> list[JobId]:
    """Dispatch jobs of kind `k`."""
    return [(await client.dispatch("k", n, **options)).job_id for n in range(number)]


async def states(client: AsyncClient, ids: list[JobId]) -> list[JobState]:
    return [(await client.get(job_id)).state for job_id in ids]


async def bulk(client: AsyncClient, action: BulkAction, **options: Any) -> tuple[int, int]:
    """Return how many jobs a bulk action has changed and skipped."""
    steps = await client.bulk_jobs(action, **options).all()
    return sum(step.changed for step in steps), sum(step.skipped for step in steps)

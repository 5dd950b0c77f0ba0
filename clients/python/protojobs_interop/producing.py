"""The commands of a producer: dispatch, look at jobs, act on them, watch."""

import asyncio
import contextlib
from itertools import islice
from time import monotonic
from typing import Final

from protojobs_client import AsyncClient, Client, Dispatched, JobEndedError, Options, Refused
from protojobs_client.request import JobRequest

from protojobs_interop.lines import say, say_job
from protojobs_interop.specs import read_spec, to_request

# Dispatches that share a stream: as many as its frames under way can hold.
_AT_ONCE: Final = 4000


def dispatch(options: Options, queue: str, count: int, *, spec: str | None, mode: str, wait: float | None) -> None:
    """Store jobs; with `wait`, tell how each has ended. Raises ProtoJobsError, ValueError for a spec that is none."""
    request = to_request(read_spec(spec), queue)
    with Client(options=options.over(streaming=mode == "stream")) as client:
        stored = _dispatch(client, [request] * count, batch=mode == "batch")
        for job in stored:
            say("dispatched", job_id=job.job_id, outcome=job.outcome.name)
        if wait is not None:
            for job in stored:
                with contextlib.suppress(JobEndedError):
                    client.wait(job.job_id, timeout=wait, raw=True)
                say_job(client.get(job.job_id, full=True), "finished")


def _dispatch(client: Client, requests: list[JobRequest], *, batch: bool) -> list[Dispatched]:
    if not batch:
        return [client.dispatch(request) for request in requests]
    stored: list[Dispatched] = []
    for result in client.dispatch_many(requests):
        if isinstance(result, Refused):
            raise result.error
        stored.append(result)
    return stored


def dispatch_all(options: Options, queue: str, count: int, *, spec: str | None, mode: str) -> None:
    """Store jobs, and tell how many they were and how long that took. Raises as `dispatch` does."""
    request = to_request(read_spec(spec), queue)
    began = monotonic()
    asyncio.run(_dispatch_all(options, [request] * count, mode))
    say("dispatched_all", jobs=count, seconds=monotonic() - began)


async def _dispatch_all(options: Options, requests: list[JobRequest], mode: str) -> None:
    async with AsyncClient(options=options.over(streaming=mode == "stream")) as client:
        if mode == "batch":
            for result in await client.dispatch_many(requests):
                if isinstance(result, Refused):
                    raise result.error
            return
        left = iter(requests)

        async def lane() -> None:
            for request in left:
                await client.dispatch(request)

        await asyncio.gather(*(lane() for _ in range(_AT_ONCE if mode == "stream" else 1)))


def get(options: Options, job_id: str) -> None:
    """Tell what a job is like."""
    with Client(options=options) as client:
        say_job(client.get(job_id, full=True))


def cancel(options: Options, job_id: str) -> None:
    """Cancel a job, and tell what it is like then."""
    with Client(options=options) as client:
        client.cancel(job_id)
        say_job(client.get(job_id, full=True))


def retry(options: Options, job_id: str) -> None:
    """Take a job up again, and tell what it is like then."""
    with Client(options=options) as client:
        client.retry(job_id)
        say_job(client.get(job_id, full=True))


def failed(options: Options, queue: str, count: int) -> None:
    """Tell of jobs that failed for good; `count` 0: of all."""
    with Client(options=options) as client:
        for job in islice(client.failed_jobs(queue), count or None):
            say_job(client.get(job.id, full=True))


def stats(options: Options, queue: str) -> None:
    """Tell the numbers of a queue."""
    names = ("pending", "scheduled", "running", "retrying", "completed", "failed", "cancelled", "expired")
    with Client(options=options) as client:
        for numbers in client.stats(queue).queues:
            say("stats", queue=numbers.queue, **{name: getattr(numbers, name) for name in names})


def schedule(options: Options, queue: str, kind: str, seconds: float) -> None:
    """Store one job that starts later."""
    with Client(options=options) as client:
        say("dispatched", job_id=client.schedule_in(kind, None, seconds, queue=queue), outcome="CREATED")


def watch(options: Options, queue: str, count: int) -> None:
    """Tell of events of a queue as they come, until there were so many."""
    with Client(options=options) as client, client.watch_jobs(queues=[queue]) as events:
        say("watching")
        for event in islice(events, count):
            say("job_event", type=event.name.removeprefix("job."), job_id=event.id, attempt=event.attempt)

"""A producer: `python -m benchmarks.producer JSON`. Writes what it did to its history when it ends."""

import asyncio
import sys
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import orjson
from protojobs_client import AsyncClient, Dispatched, DispatchResult, JobRequest, Options, ProtoJobsError

from benchmarks.stack import KIND, QUEUE, Usage
from tests.checker import Recorder

PAYLOAD = bytes(200)
WARM_UP = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One dispatch, by the monotonic clock. `intended`: when it should have been sent."""

    intended: float
    acked: float
    results: list[DispatchResult]


async def flood(client: AsyncClient, request: JobRequest, config: dict[str, Any]) -> list[Call]:
    """Keep so many batches outstanding, up to a number of jobs or for a number of seconds."""
    batch, jobs, seconds = config["batch"], config.get("jobs"), config.get("seconds")
    calls: list[Call] = []
    numbers = count()
    end = None if seconds is None else time.monotonic() + seconds

    async def stream() -> None:
        while end is None or time.monotonic() < end:
            size = batch if jobs is None else min(batch, jobs - next(numbers) * batch)
            if size <= 0:
                return
            began = time.monotonic()
            results = await client.dispatch_many([request] * size)
            calls.append(Call(intended=began, acked=time.monotonic(), results=results))

    async with asyncio.TaskGroup() as group:
        for _ in range(config["outstanding"]):
            group.create_task(stream())
    return calls


async def drip(client: AsyncClient, request: JobRequest, config: dict[str, Any]) -> list[Call]:
    """Send one job each `interval` seconds, whatever became of those before."""
    calls: list[Call] = []
    for _ in range(WARM_UP):
        await client.dispatch(request.with_options(queue=f"{QUEUE}-warm-up"))

    async def send(intended: float) -> None:
        result = await client.dispatch(request)
        calls.append(Call(intended=intended, acked=time.monotonic(), results=[result]))

    start = time.monotonic() + config["interval"]
    async with asyncio.TaskGroup() as group:
        for number in range(config["jobs"]):
            intended = start + number * config["interval"]
            await asyncio.sleep(max(0.0, intended - time.monotonic()))
            group.create_task(send(intended))
    return calls


async def main(config: dict[str, Any]) -> None:
    """Dispatch, then write history and usage."""
    request = JobRequest(KIND).with_options(
        queue=QUEUE, payload=PAYLOAD, content_type="application/octet-stream", priority=config.get("priority", 5)
    )
    load = drip if "interval" in config else flood
    async with AsyncClient(options=Options(address=config["address"], streaming=False)) as client:
        usage = Usage.now()
        calls = await load(client, request, config)
        used = Usage.now() - usage
    with Recorder(Path(config["history"]), config["name"]) as recorder:
        for call in calls:
            write(recorder, call)
        recorder.write("noted", what="usage", cpu_s=used.cpu_s)


def write(recorder: Recorder, call: Call) -> None:
    """Write one call as the events it stands for."""
    jobs = [result.job_id for result in call.results]
    recorder.write("dispatch", "invoke", t=call.intended, jobs=jobs, queue=QUEUE, kind=KIND)
    stored = [result.job_id for result in call.results if isinstance(result, Dispatched)]
    recorder.write("dispatch", "ok", t=call.acked, jobs=stored)
    for result in call.results:
        if not isinstance(result, Dispatched):
            error: ProtoJobsError = result.error
            phase = "info" if error.retryable else "fail"
            recorder.write("dispatch", phase, t=call.acked, jobs=[result.job_id], code=error.code.name, reason=error.reason)


if __name__ == "__main__":
    asyncio.run(main(orjson.loads(sys.argv[1])))

"""A producer: `python -m benchmarks.producer JSON`. Writes what it did to its history when it ends."""

import asyncio
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, cycle, islice, repeat
from pathlib import Path
from typing import Any, Final

import orjson
from protojobs_client import AsyncClient, Dispatched, DispatchResult, JobRequest, Options, ProtoJobsError

from benchmarks.extras import telemetry
from benchmarks.stack import KIND, WARM_UP_QUEUE
from benchmarks.usage import own_cpu_s
from tests.checker import Recorder

PAYLOAD = bytes(200)
WARM_UP = 20
HOT_KEY: Final = "hot"
HOT_ONE_IN: Final = 10
"""Of so many jobs one has the hot concurrency key."""
OTHER_KEYS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One dispatch, by the monotonic clock. `intended`: when it should have been sent."""

    intended: float
    acked: float
    results: list[DispatchResult]
    keys: list[str | None]


def requests(config: dict[str, Any]) -> Iterator[JobRequest]:
    """Yield jobs for ever: all the same, or with the unique or concurrency keys that `keys` asks for."""
    request = JobRequest(KIND).with_options(
        queue=config["queue"], payload=PAYLOAD, content_type="application/octet-stream", priority=config.get("priority", 5)
    )
    match config.get("keys"):
        case "unique":
            return (request.unique(f"{config['name']}-{number}") for number in count())
        case "hot":
            hot = request.concurrency_key(HOT_KEY)
            others = cycle([request.concurrency_key(f"key-{number}") for number in range(OTHER_KEYS)])
            return (next(others) if number % HOT_ONE_IN else hot for number in count())
        case _:
            return repeat(request)


async def flood(client: AsyncClient, jobs_to_send: Iterator[JobRequest], config: dict[str, Any]) -> list[Call]:
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
            sent = list(islice(jobs_to_send, size))
            keys = [request.options.concurrency_key for request in sent] if config.get("keys") == "hot" else []
            began = time.monotonic()
            results = await client.dispatch_many(sent)
            calls.append(Call(intended=began, acked=time.monotonic(), results=results, keys=keys))

    async with asyncio.TaskGroup() as group:
        for _ in range(config["outstanding"]):
            group.create_task(stream())
    return calls


async def drip(client: AsyncClient, jobs_to_send: Iterator[JobRequest], config: dict[str, Any]) -> list[Call]:
    """Send one job each `interval` seconds, whatever became of those before."""
    calls: list[Call] = []
    request = next(jobs_to_send)
    for _ in range(WARM_UP):
        await client.dispatch(request.with_options(queue=WARM_UP_QUEUE))

    async def send(intended: float) -> None:
        result = await client.dispatch(request)
        calls.append(Call(intended=intended, acked=time.monotonic(), results=[result], keys=[]))

    start = time.monotonic() + config["interval"]
    async with asyncio.TaskGroup() as group:
        for number in range(config["jobs"]):
            intended = start + number * config["interval"]
            await asyncio.sleep(max(0.0, intended - time.monotonic()))
            group.create_task(send(intended))
    return calls


async def main(config: dict[str, Any]) -> None:
    """Dispatch, then write history and usage."""
    load = drip if "interval" in config else flood
    options = Options.from_env().over(streaming=config.get("streaming", False))
    with telemetry():
        async with AsyncClient(options=options) as client:
            used = own_cpu_s()
            calls = await load(client, requests(config), config)
            used = own_cpu_s() - used
    with Recorder(Path(config["history"]), config["name"]) as recorder:
        for call in calls:
            write(recorder, call, config["queue"])
        recorder.write("noted", what="usage", role=config.get("role", "producers"), queue=config["queue"], cpu_s=used)


def write(recorder: Recorder, call: Call, queue: str) -> None:
    """Write one call as the events it stands for."""
    jobs = [result.job_id for result in call.results]
    keys = {"keys": call.keys} if call.keys else {}
    recorder.write("dispatch", "invoke", t=call.intended, jobs=jobs, queue=queue, kind=KIND, **keys)
    stored = [result.job_id for result in call.results if isinstance(result, Dispatched)]
    recorder.write("dispatch", "ok", t=call.acked, jobs=stored)
    for result in call.results:
        if not isinstance(result, Dispatched):
            error: ProtoJobsError = result.error
            phase = "info" if error.retryable else "fail"
            recorder.write("dispatch", phase, t=call.acked, jobs=[result.job_id], code=error.code.name, reason=error.reason)


if __name__ == "__main__":
    asyncio.run(main(orjson.loads(sys.argv[1])))

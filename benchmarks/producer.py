"""A producer: `python -m benchmarks.producer JSON`. Writes what it did to its history when it ends."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, Final

import orjson
from protojobs_client import AsyncClient, Dispatched, DispatchResult, JobRequest, Options

from benchmarks.extras import telemetry
from benchmarks.requests import body, requests
from benchmarks.stack import KIND, WARM_UP_QUEUE
from benchmarks.usage import own_cpu_s
from tests.checker import Recorder, digest

WARM_UP: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One dispatch, by the monotonic clock. `intended`: when it should have been sent."""

    intended: float
    acked: float
    results: list[DispatchResult]
    keys: list[str | None]

    def kept(self) -> "Kept":
        """Return it as plain tuples, through which the garbage collector does not look again and again while jobs are sent."""
        refused = [(place, result.error) for place, result in enumerate(self.results) if not isinstance(result, Dispatched)]
        return (
            self.intended,
            self.acked,
            tuple([result.job_id for result in self.results]),
            tuple([(place, "info" if error.retryable else "fail", error.code.name, error.reason) for place, error in refused]),
            tuple(self.keys),
        )


Kept = tuple[float, float, tuple[str, ...], tuple[tuple[int, str, str, str], ...], tuple[str | None, ...]]
"""Intended, acked, ids of jobs, the places of those that were refused with phase, code and reason, and keys."""

Note = Callable[[Call], object]


async def flood(client: AsyncClient, jobs_to_send: Iterator[JobRequest], config: dict[str, Any], note: Note) -> None:
    """Keep so many batches outstanding, up to a number of jobs or for a number of seconds; streaming: each as single dispatches."""
    batch, jobs, seconds = config["batch"], config.get("jobs"), config.get("seconds")
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
            results = await (_singly(client, sent) if config.get("streaming") else client.dispatch_many(sent))
            note(Call(intended=began, acked=time.monotonic(), results=results, keys=keys))

    async with asyncio.TaskGroup() as group:
        for _ in range(config["outstanding"]):
            group.create_task(stream())


async def _singly(client: AsyncClient, jobs: list[JobRequest]) -> list[DispatchResult]:
    return list(await asyncio.gather(*map(client.dispatch, jobs)))


async def drip(client: AsyncClient, jobs_to_send: Iterator[JobRequest], config: dict[str, Any], note: Note) -> None:
    """Send one job, or `together` of them in a batch, each `interval` seconds, whatever became of those before."""
    together = config.get("together", 1)
    warming = next(jobs_to_send).with_options(queue=WARM_UP_QUEUE)
    for _ in range(WARM_UP):
        await client.dispatch(warming)

    async def send(intended: float) -> None:
        if together == 1:
            results: list[DispatchResult] = [await client.dispatch(next(jobs_to_send))]
        else:
            results = await client.dispatch_many(list(islice(jobs_to_send, together)))
        note(Call(intended=intended, acked=time.monotonic(), results=results, keys=[]))

    start = time.monotonic() + config["interval"]
    async with asyncio.TaskGroup() as group:
        for number in range(config["jobs"] // together):
            intended = start + number * config["interval"]
            await asyncio.sleep(max(0.0, intended - time.monotonic()))
            group.create_task(send(intended))


async def main(config: dict[str, Any]) -> None:
    """Dispatch, then write history and usage; with `keep` False each call is written when it has ended, and not remembered."""
    load = drip if "interval" in config else flood
    options = Options.from_env().over(streaming=config.get("streaming", False))
    calls: list[Kept] = []
    told: dict[str, Any] = {name: config[name] for name in ("policy", "delay") if name in config}
    mark = digest(body(size)) if (size := config.get("payload_bytes")) is not None else None
    with Recorder(Path(config["history"]), config["name"]) as recorder, telemetry():

        def write_now(call: Call) -> None:
            write(recorder, call.kept(), config["queue"], mark, told)

        def keep(call: Call) -> None:
            calls.append(call.kept())

        async with AsyncClient(options=options) as client:
            used = own_cpu_s()
            await load(client, requests(config), config, keep if config.get("keep", True) else write_now)
            used = own_cpu_s() - used
        for call in calls:
            write(recorder, call, config["queue"], mark, told)
        recorder.write("noted", what="usage", role=config.get("role", "producers"), queue=config["queue"], cpu_s=used)


def write(recorder: Recorder, call: Kept, queue: str, mark: int | None, told: dict[str, Any]) -> None:
    """Write one call as the events it stands for. mark: the digest of each payload; told: what else was asked for."""
    intended, acked, jobs, refused, keys = call
    more = dict(told)
    if keys:
        more["keys"] = list(keys)
    if mark is not None:
        more["digests"] = [mark] * len(jobs)
    recorder.write("dispatch", "invoke", t=intended, jobs=list(jobs), queue=queue, kind=KIND, **more)
    places = {place for place, *_ in refused}
    recorder.write("dispatch", "ok", t=acked, jobs=[job for place, job in enumerate(jobs) if place not in places])
    for place, phase, code, reason in refused:
        recorder.write("dispatch", phase, t=acked, jobs=[jobs[place]], code=code, reason=reason)


if __name__ == "__main__":
    asyncio.run(main(orjson.loads(sys.argv[1])))

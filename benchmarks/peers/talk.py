"""What the programs of the Python peers share: the jobs they make, the runs they count, and the lines they print.

The standard library alone: it is imported in the peers' own environments.
"""

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

TELL_EVERY_S: Final = 0.05

Insert = Callable[[list[dict[str, Any]]], Awaitable[object]]
"""Stores jobs by one call."""


def say(**message: Any) -> None:
    """Print one line of JSON."""
    print(json.dumps(message, separators=(",", ":")), flush=True)


def job(number: int, sent: int, size: int) -> dict[str, Any]:
    """Return a job of `size` bytes as JSON: its number, when it was meant to be sent by the monotonic clock, 0 is untimed."""
    bare = len(f'{{"n":{number},"t":{sent},"pad":""}}')
    return {"n": number, "t": sent, "pad": "x" * max(0, size - bare)}


@dataclass(slots=True)
class Counter:
    """Marks each job that runs, and counts every run."""

    seen: bytearray = field(default_factory=bytearray)
    latencies: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    runs: int = 0

    def ran(self, number: int, sent: int) -> None:
        """Note one run."""
        if sent:
            self.latencies.append((number, time.monotonic_ns() - sent))
        place, bit = divmod(number, 8)
        if place >= len(self.seen):
            self.seen.extend(bytes(place + 1 - len(self.seen)))
        self.seen[place] |= 1 << bit
        self.runs += 1
        if self.runs == 1:
            say(phase="ran", jobs=1)

    async def tell(self) -> None:
        """Say again and again how many runs there were."""
        told = 0
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            if self.runs != told:
                told = self.runs
                say(phase="ran", jobs=told)

    def stopped(self) -> None:
        """Say all."""
        say(phase="stopped", jobs=self.runs, seen=self.seen.hex(), latencies=self.latencies)


async def work(counter: Counter, run: Callable[[], Awaitable[object]], stop: Callable[[], object] | None = None) -> None:
    """Run a worker until SIGTERM, and say what it ran. `stop` ends the worker, where it does not mind SIGTERM itself."""
    if stop is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(counter.tell())
        say(phase="ready")
        await run()
        telling.cancel()
    counter.stopped()


async def produce(config: dict[str, Any], insert: Insert) -> None:
    """Make jobs as the configuration says: as fast as its callers can, or one each `interval` seconds."""
    say(phase="began")
    began = time.monotonic()
    jobs = await (_drip if config["interval"] else _flood)(config, insert)
    say(phase="produced", jobs=jobs, seconds=time.monotonic() - began)


async def _flood(config: dict[str, Any], insert: Insert) -> int:
    batch, jobs, size = config["batch"], config["jobs"], config["payload"]
    end = time.monotonic() + config["seconds"] if config["seconds"] else None
    starts = count(0, batch)
    made = 0

    async def call() -> None:
        nonlocal made
        while end is None or time.monotonic() < end:
            first = next(starts)
            numbers = range(first, min(first + batch, jobs) if jobs else first + batch)
            if not numbers:
                return
            await insert([job(number, 0, size) for number in numbers])
            made += len(numbers)

    async with asyncio.TaskGroup() as group:
        for _ in range(config["callers"]):
            group.create_task(call())
    return made


async def _drip(config: dict[str, Any], insert: Insert) -> int:
    interval = round(config["interval"] * 1e9)
    start = time.monotonic_ns() + interval
    async with asyncio.TaskGroup() as group:
        for number in range(config["jobs"]):
            due = start + number * interval
            await asyncio.sleep(max(0, due - time.monotonic_ns()) / 1e9)
            group.create_task(_as_task(insert([job(number, due, config["payload"])])))
    return int(config["jobs"])


async def _as_task(call: Awaitable[object]) -> None:
    await call

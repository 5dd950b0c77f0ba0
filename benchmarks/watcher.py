"""Some WatchJobs streams on one queue: `python -m benchmarks.watcher JSON`.

After SIGTERM it goes on until nothing has come for QUIET_S, so that it has caught up, and writes what each stream has got.
"""

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import orjson
from protojobs_client import AsyncClient, Options

from benchmarks.extras import telemetry
from benchmarks.usage import own_cpu_s
from tests.checker import Recorder

QUIET_S: Final = 2.0
"""An event comes half a second after its change at the latest, once its watcher keeps up."""


class Stream:
    """Counts what one stream brings. checksum: the sum of the jobs' ids, which no gap and no repeat leaves as it was."""

    def __init__(self) -> None:
        self.events = 0
        self.checksum = 0
        self.last = time.monotonic()
        self.begun = asyncio.Event()

    async def follow(self, client: AsyncClient, queue: str) -> None:
        """Count completed jobs for ever."""
        async with client.watch_jobs(queues=[queue]) as events:
            self.begun.set()
            async for event in events:
                self.last = time.monotonic()
                if event.name == "job.processed":
                    self.events += 1
                    self.checksum += UUID(event.id).int


async def caught_up(streams: list[Stream]) -> None:
    """Return when no stream has brought anything for QUIET_S."""
    asked = time.monotonic()
    while True:
        left = max(asked, *(stream.last for stream in streams)) + QUIET_S - time.monotonic()
        if left <= 0:
            return
        await asyncio.sleep(left)


async def main(config: dict[str, Any]) -> None:
    """Watch until told to end and caught up, then write history and usage."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    streams = [Stream() for _ in range(config["streams"])]
    with Recorder(Path(config["history"]), config["name"]) as recorder, telemetry():
        async with AsyncClient(options=Options.from_env()) as client, asyncio.TaskGroup() as group:
            followers = [group.create_task(stream.follow(client, config["queue"])) for stream in streams]
            for stream in streams:
                await stream.begun.wait()
            recorder.write("noted", what="watching", queue=config["queue"])
            used = own_cpu_s()
            await asked.wait()
            await caught_up(streams)
            used = own_cpu_s() - used
            for follower in followers:
                follower.cancel()
        for stream in streams:
            recorder.write(
                "noted",
                what="watched",
                queue=config["queue"],
                events=stream.events,
                checksum=str(stream.checksum),
                until=stream.last,
            )
        recorder.write("noted", what="usage", role="watchers", queue=config["queue"], cpu_s=used)


if __name__ == "__main__":
    asyncio.run(main(orjson.loads(sys.argv[1])))

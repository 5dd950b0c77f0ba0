"""Makes and runs jobs of pgqueuer: `python -m benchmarks.peers.pgqueuer.program CONFIG`, where it is installed."""

import json
import sys
from datetime import timedelta
from typing import Any, Final

import asyncpg
import uvloop
from pgqueuer import AsyncpgPoolDriver, Job, Queries, QueueManager

from benchmarks.peers.talk import Counter, produce, work

BATCH: Final = 200
ENTRYPOINT: Final = "noop"
CONNECTIONS: Final = 16


async def main(config: dict[str, Any]) -> None:
    """Do what the configuration says."""
    async with asyncpg.create_pool(config["dsn"], min_size=2, max_size=max(CONNECTIONS, config["callers"])) as pool:
        driver = AsyncpgPoolDriver(pool)
        queries = Queries(driver)

        async def insert(jobs: list[dict[str, Any]]) -> None:
            payloads = [json.dumps(each, separators=(",", ":")).encode() for each in jobs]
            if len(payloads) == 1:
                await queries.enqueue(ENTRYPOINT, payloads[0])
            else:
                await queries.enqueue([ENTRYPOINT] * len(payloads), payloads, [0] * len(payloads))

        match config["role"]:
            case "migrate":
                await queries.install()
            case "work":
                await consume(queries)
            case _:
                await produce(config, insert)


async def consume(queries: Queries) -> None:
    """Run jobs until SIGTERM."""
    counter, manager = Counter(), QueueManager(queries)

    async def noop(job: Job) -> None:
        told = json.loads(job.payload)
        counter.ran(told["n"], told["t"])

    manager.entrypoint(ENTRYPOINT)(noop)
    await work(counter, lambda: manager.run(batch_size=BATCH, dequeue_timeout=timedelta(seconds=1)), manager.shutdown.set)


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.argv[1])))

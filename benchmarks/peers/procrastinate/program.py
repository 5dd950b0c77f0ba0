"""Makes and runs jobs of Procrastinate: `python -m benchmarks.peers.procrastinate.program CONFIG`, where it is installed."""

import json
import sys
from typing import Any, Final

import uvloop
from procrastinate import App, PsycopgConnector

from benchmarks.peers.talk import Counter, produce, work

SLOTS: Final = 100
CONNECTIONS: Final = 16
POLL_S: Final = 0.05


async def main(config: dict[str, Any]) -> None:
    """Do what the configuration says."""
    counter = Counter()
    app = App(connector=PsycopgConnector(conninfo=config["dsn"], min_size=2, max_size=max(CONNECTIONS, config["callers"])))

    async def noop(n: int, t: int, pad: str) -> None:  # noqa: ARG001 - the padding is the payload
        counter.ran(n, t)

    task = app.task(noop, name="noop")

    async def insert(jobs: list[dict[str, Any]]) -> None:
        if len(jobs) == 1:
            await task.defer_async(**jobs[0])
        else:
            await task.batch_defer_async(*jobs)

    async with app.open_async():
        match config["role"]:
            case "migrate":
                await app.schema_manager.apply_schema_async()
            case "work":
                await consume(app, counter)
            case _:
                await produce(config, insert)


async def consume(app: App, counter: Counter) -> None:
    """Run jobs until SIGTERM."""
    await work(
        counter, lambda: app.run_worker_async(concurrency=SLOTS, fetch_job_polling_interval=POLL_S, delete_jobs="successful")
    )


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.argv[1])))

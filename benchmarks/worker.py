"""A worker with one Lease stream: `python -m benchmarks.worker JSON`. SIGTERM ends it.

Its handler does nothing, or waits as long as `busy_s` says: then it is one that other handlers run beside.
"""

import asyncio
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
from protojobs_worker import JobContext, Worker

from benchmarks.extras import telemetry
from benchmarks.stack import KIND, WARM_UP_QUEUE
from benchmarks.usage import own_cpu_s
from tests.checker import Recorder

ROWS = 1000


def main(config: dict[str, Any]) -> int:
    """Serve until told to end, then write history and usage."""
    queue: str = config["queue"]
    worker = Worker(
        queues=[queue, WARM_UP_QUEUE],
        name=config["name"],
        concurrency=config["concurrency"],
        window=config.get("window"),
        trace_parent=config["trace_parent"],
    )
    runs: list[tuple[str, int, float]] = []

    def nothing(context: JobContext) -> None:
        if context.queue == queue:
            runs.append((context.job_id, context.attempt, monotonic()))

    async def wait(context: JobContext) -> None:
        nothing(context)
        await asyncio.sleep(config["busy_s"])

    if "busy_s" in config:
        worker.handler(KIND)(wait)
    else:
        worker.handler(KIND, inline=True)(nothing)

    with telemetry():
        used = own_cpu_s()
        reason = worker.run()
        used = own_cpu_s() - used
    with Recorder(Path(config["history"]), config["name"], session=config["name"]) as recorder:
        recorder.write("session", t=0.0, slots=config["concurrency"])
        for first in range(0, len(runs), ROWS):
            recorder.write_rows("ran", runs[first : first + ROWS])
        recorder.write("noted", what="usage", role="workers", queue=queue, cpu_s=used)
    return reason.code


if __name__ == "__main__":
    sys.exit(main(orjson.loads(sys.argv[1])))

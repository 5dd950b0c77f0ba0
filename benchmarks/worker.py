"""A worker with one Lease stream and a handler that does nothing: `python -m benchmarks.worker JSON`. SIGTERM ends it."""

import sys
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
from protojobs_client import Options
from protojobs_worker import JobContext, Worker

from benchmarks.stack import KIND, QUEUE, Usage
from tests.checker import Recorder

ROWS = 1000


def main(config: dict[str, Any]) -> int:
    """Serve until told to end, then write history and usage."""
    worker = Worker(
        Options(address=config["address"]),
        queues=[QUEUE, f"{QUEUE}-warm-up"],
        name=config["name"],
        concurrency=config["concurrency"],
        window=config["window"],
    )
    runs: list[tuple[str, int, float]] = []

    @worker.handler(KIND, inline=True)
    def nothing(context: JobContext) -> None:  # pyright: ignore[reportUnusedFunction]
        if context.queue == QUEUE:
            runs.append((context.job_id, context.attempt, monotonic()))

    usage = Usage.now()
    reason = worker.run()
    used = Usage.now() - usage
    with Recorder(Path(config["history"]), config["name"], session=config["name"]) as recorder:
        recorder.write("session", t=0.0, slots=config["concurrency"])
        for first in range(0, len(runs), ROWS):
            recorder.write_rows("ran", runs[first : first + ROWS])
        recorder.write("noted", what="usage", cpu_s=used.cpu_s)
    return reason.code


if __name__ == "__main__":
    sys.exit(main(orjson.loads(sys.argv[1])))

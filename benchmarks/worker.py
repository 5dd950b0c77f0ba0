"""A worker with one Lease stream: `python -m benchmarks.worker JSON`. SIGTERM ends it.

Its handler does nothing, or waits as long as `busy_s` says: then it is one that other handlers run beside. With `failing` so many
of a hundred jobs fail the first time; with `digests` it says what payload it has got.
"""

import asyncio
import sys
from collections import defaultdict
from pathlib import Path
from time import monotonic
from typing import Any, Final
from uuid import UUID

import orjson
from protojobs_worker import JobContext, Worker

from benchmarks.extras import telemetry
from benchmarks.stack import KIND, WARM_UP_QUEUE
from benchmarks.usage import own_cpu_s
from tests.checker import Recorder, digest

ROWS: Final = 1000

Row = tuple[str, int, float]


class FailsOnceError(Exception):
    """What a failing job raises."""


class Runs:
    """Remembers what has run; without `keep` it writes it down as it comes."""

    def __init__(self, recorder: Recorder, *, keep: bool) -> None:
        self._recorder = recorder
        self._keep = keep
        self._rows: dict[tuple[str, str, int | None], list[Row]] = defaultdict(list)

    def completed(self) -> list[Row]:
        """Return where a handler that does nothing else puts its runs: a call for each would be a part of what is measured."""
        return self._rows["ran", "", None]

    def note(self, context: JobContext, op: str = "ran", phase: str = "", mark: int | None = None) -> None:
        """Note that something happens to a job now."""
        rows = self._rows[op, phase, mark]
        rows.append((context.job_id, context.attempt, monotonic()))
        if not self._keep and len(rows) >= ROWS:
            self._write(op, phase, mark, rows)
            rows.clear()

    def write(self) -> None:
        """Write what is left."""
        for (op, phase, mark), rows in self._rows.items():
            for first in range(0, len(rows), ROWS):
                self._write(op, phase, mark, rows[first : first + ROWS])

    def _write(self, op: str, outcome: str, mark: int | None, rows: list[Row]) -> None:
        told: dict[str, Any] = {"outcome": outcome} if outcome else {}
        if mark is not None:
            told["digest"] = mark
        self._recorder.write_rows(op, rows, **told)


def fails(job_id: str, percent: float) -> bool:
    """Tell whether this job is one of those that fail."""
    return UUID(job_id).int % 10_000 < percent * 100


def main(config: dict[str, Any]) -> int:
    """Serve until told to end, then write history and usage."""
    queue: str = config["queue"]
    worker = Worker(
        queues=config.get("queues") or [queue, WARM_UP_QUEUE],
        name=config["name"],
        concurrency=config["concurrency"],
        window=config.get("window"),
        trace_parent=config["trace_parent"],
        session_ttl=config.get("session_ttl"),
    )
    with Recorder(Path(config["history"]), config["name"], session=config["name"]) as recorder:
        runs = Runs(recorder, keep=config.get("keep", True))
        _register(worker, config, runs)
        recorder.write("session", t=0.0, slots=config["concurrency"])
        with telemetry():
            used = own_cpu_s()
            reason = worker.run()
            used = own_cpu_s() - used
        runs.write()
        recorder.write("noted", what="usage", role=config.get("role", "workers"), queue=queue, cpu_s=used)
    return reason.code


def _register(worker: Worker, config: dict[str, Any], runs: Runs) -> None:
    ran = runs.completed()

    def nothing(context: JobContext) -> None:
        if context.queue != WARM_UP_QUEUE:
            ran.append((context.job_id, context.attempt, monotonic()))

    def write_down(context: JobContext) -> None:
        if context.queue != WARM_UP_QUEUE:
            runs.note(context)

    def read(context: JobContext) -> None:
        if context.queue != WARM_UP_QUEUE:
            runs.note(context, mark=digest(context.payload))

    def fail_once(context: JobContext) -> None:
        if context.failures or not fails(context.job_id, config["failing"]):
            nothing(context)
            return
        runs.note(context, "start")
        runs.note(context, "end", "fail")
        raise FailsOnceError

    async def wait(context: JobContext) -> None:
        nothing(context)
        await asyncio.sleep(config["busy_s"])

    if "busy_s" in config:
        worker.handler(KIND)(wait)
    elif "failing" in config:
        worker.handler(KIND, inline=True)(fail_once)
    else:
        plain = nothing if config.get("keep", True) else write_down
        worker.handler(KIND, inline=True)(read if config.get("digests") else plain)


if __name__ == "__main__":
    sys.exit(main(orjson.loads(sys.argv[1])))

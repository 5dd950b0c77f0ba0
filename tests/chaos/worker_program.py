"""A worker on the public SDK that writes what its handlers do into the history: `python -m tests.chaos.worker_program JSON`."""

import asyncio
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import orjson
from protojobs_client import Options
from protojobs_worker import JobContext, Retry, Snooze, Worker
from typing_extensions import override

from tests.chaos.handlers import act, instructions
from tests.checker import Recorder, digest


class JsonLines(logging.Formatter):
    """One object a line, so that the stand can tell errors from the rest."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        error = self.formatException(record.exc_info) if record.exc_info else None
        line = {
            "at": record.created,
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            "reason": getattr(record, "reason", None),
            "exception": error,
        }
        return orjson.dumps(line, default=str).decode()


def build(config: dict[str, Any]) -> Worker:
    """Build the worker that `config` describes."""
    name, gates = config["name"], Path(config["gates"])
    session = f"{name}-{os.getpid()}"
    recorder = Recorder(Path(config["history"]), name, session=session)
    slots = config.get("concurrency", 10)
    worker = Worker(
        Options(address=config["address"], ca=Path(config["ca"]) if "ca" in config else None),
        queues=config["queues"],
        name=name,
        concurrency=slots,
        window=config.get("window"),
        session_ttl=config.get("ttl", 2.0),
        grace=config.get("grace", 10.0),
    )
    recorder.write("session", slots=slots)

    async def work(context: JobContext) -> None:
        if instructions(context.payload).get("do") == "exit":
            os._exit(1)  # before anything is recorded, and before the loop of the session can have run again
        job, attempt, wall = context.job_id, context.attempt, time.time()
        recorder.write(
            "start", job=job, attempt=attempt, queue=context.queue, kind=context.kind, digest=digest(context.payload), wall=wall
        )
        outcome, delay = "abandoned", None
        try:
            done = await act(instructions(context.payload), worker=name, attempt=attempt, gates=gates)
            outcome, delay = done.outcome, done.delay
        except asyncio.CancelledError:
            reason = context.cancelled.reason
            outcome = (
                "abandoned" if reason is None else {"cancelled": "cancelled", "shutdown": "release"}.get(reason.value, "abandoned")
            )
            raise
        finally:
            recorder.write("end", job=job, attempt=attempt, outcome=outcome, delay=delay)
        if outcome == "fail":
            raise Retry(after=delay, reason="told to fail") if delay is not None else RuntimeError("told to fail")
        if outcome == "snooze":
            raise Snooze(delay or 0.0)

    for kind in config.get("kinds", ["work"]):
        worker.handler(kind)(work)
    return worker


if __name__ == "__main__":
    lines = logging.StreamHandler()
    lines.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[lines])
    sys.exit(build(orjson.loads(sys.argv[1])).run().code)

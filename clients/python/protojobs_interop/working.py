"""The command of a worker: it runs every kind, and tells each step of every job."""

import hashlib
import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from unittest.mock import patch

from protojobs_client import Options
from protojobs_worker import JobContext, JobProcessed, JobProcessing, StopReason, Worker, WorkerStopped
from protojobs_worker.exchange import Exchange
from protojobs_worker.frames import WireLease
from protojobs_worker.outcomes import Cancelled, Completed, Failed, Outcome, Released, Snoozed
from typing_extensions import override

from protojobs_interop import kinds
from protojobs_interop.lines import base64, say


def work(
    options: Options,
    queue: str,
    count: int,
    *,
    slots: int,
    chosen: list[str],
    grace: float,
    health_file: Path | None,
    quiet: bool,
) -> int:
    """Run jobs until so many are settled (0: until SIGTERM); return the exit code. `quiet`: nothing is told of single jobs."""
    worker = Worker(
        options,
        queues=[queue],
        name="interop-python",
        concurrency=slots,
        grace=grace,
        health_file=health_file,
        max_jobs=(count or None) if quiet else None,
    )
    kinds.register(worker, chosen)
    worker.on("worker.stopped", _stopped)
    logging.getLogger("protojobs_worker").addHandler(_Streams(worker))
    if quiet:
        return worker.run().code
    worker.on("job.processing", _started)
    worker.on("job.processed", _ended)
    # There is no hook for the answers to settles: applications need none, and they are the ledger's business.
    with patch.object(Exchange, "if_configured", return_value=_Settled(worker, count)):
        return worker.run().code


def _started(told: JobProcessing) -> None:
    context = told.context
    spec = context._attempt.job.spec
    payload, run_time = context.payload, spec.run_time
    say(
        "started",
        job_id=context.job_id,
        kind=context.kind,
        attempt=context.attempt,
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        payload_len=len(payload),
        headers=dict(context.headers),
        priority=context.priority,
        run_time_us=run_time.ToMicroseconds() if spec.HasField("run_time") else None,
        traceparent=context.headers.get("traceparent"),
        checkpoint=base64(context.checkpoint or None),
        at_us=time.time_ns() // 1000,
    )


def _ended(told: JobProcessed) -> None:
    say("ended", job_id=told.context.job_id, attempt=told.context.attempt, outcome=_name(told.outcome, told.context))


def _name(outcome: Outcome, context: JobContext) -> str:
    match outcome:
        case Completed():
            return "complete"
        case Failed(error=error):
            return "discard" if error.type == "Discard" else "fail"
        case Snoozed():
            return "snooze"
        case Cancelled():
            return "cancelled" if context.cancelled.reason is StopReason.CANCELLED else "cancel"
        case Released():
            return "lost" if context.cancelled.reason is StopReason.LEASE_LOST else "abandoned"


def _stopped(told: WorkerStopped) -> None:
    say("stopped", processed=told.processed)


class _Streams(logging.Handler):
    """Tells of streams and of leaving by what the worker logs about them."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(logging.INFO)
        self._worker = worker

    @override
    def emit(self, record: logging.LogRecord) -> None:
        session = self._worker._session
        if record.msg == "stream open" and session is not None:
            # A digest: whoever has the session's id itself can settle its jobs.
            shown = hashlib.sha256(session._session_id).hexdigest()[:32]
            say("ready", session=shown, resumed=session._stream_no > 1)
        elif record.msg == "leaving":
            say("draining")


class _Settled(Exchange):
    """Tells each answer to a settle, and stops the worker after so many."""

    def __init__(self, worker: Worker, count: int) -> None:
        super().__init__(None, None, worker.options.name, worker.connection)
        self._stop = worker.stop
        self._left = count
        self._counting = threading.Lock()

    @override
    def answered(self, leases: Iterable[WireLease | None], error: str | None = None) -> None:
        for lease in leases:
            if lease is None:
                continue
            say("settled", job_id=lease.job_id, attempt=lease.attempt, code=error or "OK")
            if lease.run is not None:
                self._left -= 1
                if self._left == 0:
                    self._stop()

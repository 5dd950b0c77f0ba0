"""The other side of the process pool: runs handlers one at a time on the main thread of a child process.

A soft stop is a signal whose handler raises JobTimeout or JobCancelled inside the user's code; a hard stop is SIGKILL
from the parent. The child ends when its pipe does.
"""

import pickle
import queue
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import monotonic
from types import FrameType
from typing import Any

from protojobs.v1 import worker_service_pb2 as wire

from protojobs_worker.context import Attempt, JobContext, JobStopped, StopReason
from protojobs_worker.execution import run, stopped
from protojobs_worker.ledger import Lease
from protojobs_worker.outcomes import Outcome, failed, travelling
from protojobs_worker.registry import Handler


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Parent to child: run this."""

    kind: str
    handler: bytes | None  # pickled: a reference to the function; only the first time
    job: bytes
    attempt: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Parent to child: stop this, if it still runs."""

    job_id: str
    attempt: int
    reason: StopReason


@dataclass(frozen=True, slots=True)
class Ready:
    """Child to parent: up, and reading."""


@dataclass(frozen=True, slots=True)
class Began:
    """Child to parent: the handler is known from now on, and begins."""


@dataclass(frozen=True, slots=True)
class Done:
    """Child to parent: the handler has ended."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Progressed:
    """Child to parent: progress."""

    ratio: float
    message: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Child to parent: a checkpoint."""

    data: bytes


class Child:
    """Runs on the main thread; a second one reads what the parent says."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._main = threading.get_ident()
        self._sending = threading.Lock()
        self._todo: queue.SimpleQueue[Run | None] = queue.SimpleQueue()
        self._handlers: dict[str, Handler] = {}
        self._stopping = threading.Lock()
        self._stop_early: dict[tuple[str, int], StopReason] = {}
        self._current: Attempt | None = None
        self._interruptible = False

    def serve(self) -> None:
        """Run handlers one after the other until the pipe closes."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, self.interrupt)
        threading.Thread(target=self._listen, name="protojobs-pipe", daemon=True).start()
        self._send(Ready())
        while (request := self._todo.get()) is not None:
            self._send(Done(travelling(self._run(request))))

    def _run(self, request: Run) -> Outcome:
        if request.handler is not None:
            try:
                self._handlers[request.kind] = pickle.loads(request.handler)  # noqa: S301 - our parent wrote it
            except BaseException as error:  # noqa: BLE001 - whatever its module does when it is imported
                return failed(error)
        job = wire.LeasedJob.FromString(request.job)
        attempt = Attempt(Lease(job.job_id, request.attempt, job, 0), self._handlers[request.kind])
        attempt.on_update = self.update
        self._send(Began())
        attempt.began_at = monotonic()
        try:
            self.enter(attempt)
            outcome = stopped(attempt) if attempt.stop_reason is not None else run(attempt)
            self._interruptible = False
        except JobStopped:  # the signal came just outside of the handler
            self._interruptible = False
            outcome = stopped(attempt)
        self._current = None
        return outcome

    def enter(self, attempt: Attempt) -> None:
        """Let a soft stop interrupt this thread from now on, unless it came before."""
        with self._stopping:
            self._current = attempt
            early = self._stop_early.pop((attempt.lease.job_id, attempt.lease.attempt), None)
        if early is not None:
            attempt.stop(early, monotonic())
        else:
            self._interruptible = True

    def _listen(self) -> None:
        try:
            while True:
                message: Any = self._pipe.recv()
                if isinstance(message, Run):
                    self._todo.put(message)
                    continue
                with self._stopping:
                    attempt = self._current
                    if attempt is None or (attempt.lease.job_id, attempt.lease.attempt) != (message.job_id, message.attempt):
                        # Not begun yet, or over: `_run` looks here before it begins.
                        self._stop_early[message.job_id, message.attempt] = message.reason
                        continue
                attempt.stop(message.reason, monotonic())
                signal.pthread_kill(self._main, signal.SIGUSR2)
        except (EOFError, OSError):
            self._todo.put(None)

    def interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        """Raise inside the handler, once, and not inside a message."""
        if self._interruptible and self._current is not None:
            self._interruptible = False
            JobContext(self._current).raise_if_cancelled()

    def update(self, attempt: Attempt) -> None:
        """Send what the handler told."""
        progress, attempt.progress = attempt.progress, None
        checkpoint, attempt.checkpoint = attempt.checkpoint, None
        if threading.get_ident() != self._main:  # a thread of the handler's; a soft stop never comes here
            self._tell(progress, checkpoint)
            return
        # A soft stop in the middle of a message would tear it: it is held off until the message has left.
        held_off, self._interruptible = self._interruptible, False
        try:
            self._tell(progress, checkpoint)
        finally:
            self._interruptible = held_off
        if held_off and attempt.stop_reason is not None:
            self.interrupt(signal.SIGUSR2, None)

    def _tell(self, progress: tuple[float, str] | None, checkpoint: bytes | None) -> None:
        if progress is not None:
            self._send(Progressed(*progress))
        if checkpoint is not None:
            self._send(Checkpoint(checkpoint))

    def _send(self, message: Ready | Began | Done | Progressed | Checkpoint) -> None:
        with self._sending:
            self._pipe.send(message)


def child_main(pipe: Connection) -> None:
    """Run handlers until the pipe closes."""
    Child(pipe).serve()

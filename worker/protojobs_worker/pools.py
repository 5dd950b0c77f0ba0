"""Runs handlers off the loop: on daemon threads, or in processes that can be killed."""

import contextlib
import contextvars
import logging
import multiprocessing
import pickle
import queue
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from time import monotonic
from typing import Final

from protojobs_worker.child import Began, Checkpoint, Done, Progressed, Ready, Run, Stop, child_main
from protojobs_worker.context import Attempt
from protojobs_worker.execution import Around, run, stopped
from protojobs_worker.lanes import Report
from protojobs_worker.outcomes import ErrorInfo, Failed, Outcome, failed

logger = logging.getLogger(__name__)

# A stop request wakes nobody who waits for a child's answer: it is looked for this often.
_POLL_SECONDS: Final = 0.25
# A process that has not begun its handler by then - it is spawned and imports the handler's module - is given up.
_START_SECONDS: Final = 120.0


class Threads:
    """Grows to `size` daemon threads as they are needed. A thread that never comes back blocks no exit."""

    def __init__(self, size: int, report: Report, active: set[Attempt], around: Around | None) -> None:
        self._size = size
        self._report = report
        self._active = active
        self._around = around
        self._queue: queue.SimpleQueue[Attempt | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._count = 0
        self._base = contextvars.Context()

    def bind(self) -> None:
        """Run handlers in copies of this context."""
        self._base = contextvars.copy_context()

    def start(self, attempt: Attempt) -> None:
        """Hand over an attempt."""
        self._queue.put(attempt)
        if self._count < self._size and not self._idle.acquire(blocking=False):
            self._count += 1
            name = f"protojobs-{type(self).__name__.lower()}-{self._count}"
            threading.Thread(target=self._serve, name=name, daemon=True).start()

    def close(self) -> None:
        """Let idle threads end."""
        for _ in range(self._count):
            self._queue.put(None)

    def _serve(self) -> None:
        self._take(self._run)

    def _take(self, run: Callable[[Attempt], Outcome]) -> None:
        while (attempt := self._queue.get()) is not None:
            try:
                outcome = run(attempt)
            except BaseException as error:  # of what is around the handler: a thread less would be a slot less for good
                logger.exception("pool failed", extra={"job_id": attempt.lease.job_id})
                outcome = failed(error)
            # Before the report: whoever hears it may begin the next.
            self._end(attempt)
            self._report([(attempt, outcome)])

    def _end(self, attempt: Attempt) -> None:
        attempt.ended = True
        self._active.discard(attempt)
        self._idle.release()

    def _run(self, attempt: Attempt) -> Outcome:
        if attempt.stop_reason is not None:
            return stopped(attempt)
        attempt.began_at = monotonic()
        self._active.add(attempt)
        return self._base.copy().run(run, attempt, self._around)


class Processes(Threads):
    """Up to `size` threads, each with a child process of its own that it feeds, watches and replaces."""

    def __init__(
        self,
        size: int,
        report: Report,
        active: set[Attempt],
        around: Around | None,
        *,
        stop_grace: float,
        start_patience: float = _START_SECONDS,
    ) -> None:
        super().__init__(size, report, active, around)
        self._stop_grace = stop_grace
        self._start_patience = start_patience
        self._counting = threading.Lock()
        self.free = size

    def start(self, attempt: Attempt) -> None:
        """Hand over an attempt."""
        self._count_free(-1)
        super().start(attempt)

    def _count_free(self, change: int) -> None:
        with self._counting:
            self.free += change

    def _serve(self) -> None:
        child = _Child()
        self._take(partial(self._run_in, child))
        child.close()

    def _end(self, attempt: Attempt) -> None:
        self._count_free(1)
        super()._end(attempt)

    def _run_in(self, child: "_Child", attempt: Attempt) -> Outcome:
        if attempt.stop_reason is not None:
            return stopped(attempt)
        around = self._around
        context = self._base.copy()
        if around is not None:
            context.run(around.before, attempt)
        try:
            child.begin(attempt)
            attempt.on_stop = child.ask_to_stop
            self._active.add(attempt)
            outcome = self._wait_for(child, attempt)
        except Exception as error:  # a handler that cannot be sent, a child that cannot start
            logger.exception("process pool failed", extra={"job_id": attempt.lease.job_id})
            child.kill()
            outcome = Failed(ErrorInfo("ProcessPool", f"{type(error).__name__}: {error}"), cause=error)
        # No deadline runs any more, whatever is done after it.
        attempt.ended = True
        self._active.discard(attempt)
        if around is not None:
            context.run(around.after, attempt, outcome)
        return outcome

    def _wait_for(self, child: "_Child", attempt: Attempt) -> Outcome:
        if attempt.stop_reason is not None:
            child.ask_to_stop(attempt)
        given_up_at = monotonic() + self._start_patience
        while True:
            outcome = child.poll(attempt, _POLL_SECONDS)
            if outcome is not None:
                return outcome
            now = monotonic()
            if attempt.stop_reason is not None:
                if child.take_back():
                    return stopped(attempt)
                if now > attempt.stopped_at + self._stop_grace:
                    logger.warning("process killed", extra={"job_id": attempt.lease.job_id})
                    child.kill()
                    return stopped(attempt)
            elif attempt.began_at is None and now > given_up_at:
                logger.error("process does not come up", extra={"job_id": attempt.lease.job_id})
                child.kill()
                why = f"the handler's process did not begin it within {self._start_patience:g} s"
                return Failed(ErrorInfo("ProcessStart", why))


class _Child:
    """One child process; started when first needed, and again after it died."""

    def __init__(self) -> None:
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._known: set[str] = set()
        self._ready = False
        self._unsent: Run | None = None
        self._sending = threading.Lock()

    def begin(self, attempt: Attempt) -> None:
        """Send an attempt as soon as the process reads; a handler travels until one of its kind has begun."""
        if self._process is None or not self._process.is_alive():
            self._reap()
            self._start()
        handler = attempt.handler
        self._unsent = Run(
            kind=handler.kind,
            handler=None if handler.kind in self._known else pickle.dumps(handler),
            job=attempt.job.SerializeToString(),
            attempt=attempt.lease.attempt,
        )
        if self._ready:
            self._send_unsent(attempt)

    def take_back(self) -> bool:
        """Tell whether the attempt has not been sent; then it never is."""
        unsent, self._unsent = self._unsent, None
        return unsent is not None

    def _send_unsent(self, attempt: Attempt) -> None:
        unsent, self._unsent = self._unsent, None
        if unsent is not None:
            self._send(unsent)
            # `ask_to_stop` says nothing about what has not been sent.
            self.ask_to_stop(attempt)

    def poll(self, attempt: Attempt, seconds: float) -> Outcome | None:
        """Wait for the child's next word. None: none yet."""
        pipe = self._pipe
        assert pipe is not None
        try:
            if not pipe.poll(seconds):
                return None
            match pipe.recv():
                case Ready():
                    self._ready = True
                    self._send_unsent(attempt)
                case Began():
                    self._known.add(attempt.handler.kind)
                    attempt.began_at = monotonic()
                case Done(outcome):
                    return outcome
                case Progressed(ratio, message):
                    attempt.progress = (ratio, message)
                    attempt.tell()
                case Checkpoint(data):
                    attempt.checkpoint = data
                    attempt.tell()
                case other:
                    raise TypeError(f"a child sent {type(other).__name__}")
        except (EOFError, OSError):
            self._unsent = None
            code = self._reap()
            if attempt.stop_reason is not None:
                return stopped(attempt)
            return Failed(ErrorInfo("ProcessDied", f"the handler's process ended with code {code}"))
        return None

    def ask_to_stop(self, attempt: Attempt) -> None:
        """Ask the handler to stop; its process stays."""
        reason = attempt.stop_reason
        if reason is not None and self._unsent is None:
            with contextlib.suppress(OSError):  # it has died; `poll` says so
                self._send(Stop(attempt.lease.job_id, attempt.lease.attempt, reason))

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()
        self._reap()

    def close(self) -> None:
        """Let the process end."""
        if self._pipe is not None:
            self._pipe.close()

    def _start(self) -> None:
        # spawn: a fork would copy the session's threads and sockets into a broken state.
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        self._process = context.Process(target=child_main, args=(theirs,), name="protojobs-handler", daemon=True)
        self._process.start()
        theirs.close()
        self._pipe = mine
        self._known.clear()
        self._ready = False

    def _send(self, message: Run | Stop) -> None:
        with self._sending:
            if self._pipe is not None:
                self._pipe.send(message)

    def _reap(self) -> int | None:
        process, self._process = self._process, None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if process is None:
            return None
        process.join(5)
        return process.exitcode

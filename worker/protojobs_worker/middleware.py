"""What happens around handlers: middleware, event hooks and spans. A worker that has none pays nothing.

Events of `Worker.on`:

    job.processing           a handler is about to begin                  JobProcessing
    job.processed            a handler has ended, with its run time       JobProcessed
    job.failed               a failed attempt was stored; `final`?        JobFailed
    worker.starting          the first stream is about to open            WorkerStarting
    worker.memory_exceeded   `max_memory` is passed; the worker leaves    MemoryExceeded
    worker.stopped           everything is settled                        WorkerStopped

Hooks may be async. An error in a hook is logged and changes nothing else.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any, Final, Literal, ParamSpec, cast, get_args

from protojobs_worker.context import Attempt, JobContext
from protojobs_worker.execution import is_interrupt
from protojobs_worker.outcomes import ErrorInfo, Outcome
from protojobs_worker.tracing import Tracing

logger = logging.getLogger(__name__)

EventName = Literal["job.processing", "job.processed", "job.failed", "worker.starting", "worker.memory_exceeded", "worker.stopped"]
EVENT_NAMES: Final[tuple[str, ...]] = get_args(EventName)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProcessing:
    """A handler is about to begin."""

    context: JobContext


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProcessed:
    """A handler has ended, however it ended."""

    context: JobContext
    outcome: Outcome
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailed:
    """A failed attempt was stored. `final`: the job is FAILED; else it runs again at `next_time`."""

    context: JobContext
    error: ErrorInfo
    final: bool
    next_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStarting:
    """The worker is about to open its first stream."""

    worker: str
    queues: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryExceeded:
    """The process has grown past `max_memory`."""

    worker: str
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStopped:
    """The worker has settled everything. `rate` is in jobs per second of its life."""

    worker: str
    processed: int
    rate: float
    reason: str


Hook = Callable[[Any], object]
P = ParamSpec("P")


class Middleware:
    """Wraps every handler; subclass it and override what you need. Runs where the handler runs."""

    def before(self, context: JobContext) -> None:
        """Run before the handler. An exception here is logged; the handler runs all the same."""

    def after(self, context: JobContext, outcome: Outcome, seconds: float) -> None:
        """Run after the handler, in reverse order of `before`."""


class Hooks:
    """Functions by event name."""

    def __init__(self) -> None:
        self._hooks: dict[str, list[Hook]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._group: asyncio.TaskGroup | None = None

    def add(self, event: str, hook: Hook) -> None:
        """Call `hook` at every such event. Raises ValueError for an unknown name."""
        if event not in EVENT_NAMES:
            raise ValueError(f"no event {event!r}; there are {', '.join(EVENT_NAMES)}")
        self._hooks.setdefault(event, []).append(hook)

    def has(self, *events: EventName) -> bool:
        """Tell whether anybody listens to one of these."""
        return not self._hooks.keys().isdisjoint(events)

    def bind(self, group: asyncio.TaskGroup) -> None:
        """Run async hooks in this group."""
        self._loop, self._group = asyncio.get_running_loop(), group

    def emit(self, event: EventName, value: object) -> None:
        """Call the hooks here; async ones go to the loop. Safe from every thread."""
        for hook in self._hooks.get(event, ()):
            try:
                result = hook(value)
            except Exception:
                logger.exception("hook failed", extra={"event": event})
                continue
            if inspect.iscoroutine(result):
                self.spawn(event, cast("Coroutine[Any, Any, object]", result))

    def emit_on_loop(self, event: EventName, value: object) -> None:
        """Call the hooks on the loop, for callers that must not be held up."""
        if self._loop is not None and not self._loop.is_closed() and self.has(event):
            self._loop.call_soon_threadsafe(self.emit, event, value)

    def spawn(self, name: str, steps: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine on the loop; its errors are logged."""
        loop, group = self._loop, self._group
        if loop is None or group is None or loop.is_closed():
            steps.close()
            return
        loop.call_soon_threadsafe(_create, group, name, steps)


def _create(group: asyncio.TaskGroup, name: str, steps: Coroutine[Any, Any, object]) -> None:
    logged = _logged(name, steps)
    try:
        group.create_task(logged, name=f"protojobs-{name}")
    except RuntimeError:  # the worker has ended
        logged.close()
        steps.close()


async def _logged(name: str, steps: Coroutine[Any, Any, object]) -> None:
    try:
        await steps
    except Exception:
        logger.exception("hook failed", extra={"event": name})


class Surroundings:
    """Everything around a handler, in one call before and one after (`execution.Around`).

    What any part of it raises is logged: it ends neither the attempt nor the worker.
    """

    def __init__(self, middleware: tuple[Middleware, ...], hooks: Hooks, tracing: Tracing | None) -> None:
        self._middleware = middleware
        self._hooks = hooks
        self._tracing = tracing

    @staticmethod
    def of(middleware: tuple[Middleware, ...], hooks: Hooks, tracing: Tracing | None) -> "Surroundings | None":
        """Return None where there is nothing to do."""
        if not middleware and tracing is None and not hooks.has("job.processing", "job.processed"):
            return None
        return Surroundings(middleware, hooks, tracing)

    def before(self, attempt: Attempt) -> None:
        """Enter: span, then middleware in order, then `job.processing`."""
        if self._tracing is not None:
            _guarded("tracing", attempt, self._tracing.enter, attempt)
        for middleware in self._middleware:
            _guarded("middleware", attempt, middleware.before, JobContext(attempt))
        if self._hooks.has("job.processing"):
            _guarded("hook", attempt, self._hooks.emit, "job.processing", JobProcessing(context=JobContext(attempt)))
        attempt.entered_at = perf_counter()

    def after(self, attempt: Attempt, outcome: Outcome) -> None:
        """Leave in reverse."""
        seconds = perf_counter() - attempt.entered_at
        if self._hooks.has("job.processed"):
            processed = JobProcessed(context=JobContext(attempt), outcome=outcome, seconds=seconds)
            _guarded("hook", attempt, self._hooks.emit, "job.processed", processed)
        for middleware in reversed(self._middleware):
            _guarded("middleware", attempt, middleware.after, JobContext(attempt), outcome, seconds)
        if self._tracing is not None:
            _guarded("tracing", attempt, self._tracing.leave, attempt, outcome)


def _guarded(name: str, attempt: Attempt, step: Callable[P, None], *values: P.args, **named: P.kwargs) -> None:
    try:
        step(*values, **named)
    except BaseException as error:
        if is_interrupt(error):
            raise
        logger.exception("%s failed", name, extra={"job_id": attempt.lease.job_id})

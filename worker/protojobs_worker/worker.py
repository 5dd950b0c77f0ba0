"""The public face: a worker, its handlers, and the ways to run it."""

import asyncio
import contextlib
import gc
import logging
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from types import FrameType
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload

from protojobs_client.job import Job
from protojobs_client.options import Options
from protojobs_client.payload import Codec

from protojobs_worker.context import JobContext
from protojobs_worker.exchange import Exchange
from protojobs_worker.executor import Executor
from protojobs_worker.middleware import EventName, Hook, Hooks, Middleware, Surroundings, WorkerStarting, WorkerStopped
from protojobs_worker.options import ExitReason, TraceParent, WorkerOptions, queue_weights
from protojobs_worker.outcomes import as_timedelta
from protojobs_worker.registry import Handler, HandlerOptions, Pool, Registry
from protojobs_worker.service_thread import ServiceThread
from protojobs_worker.session import Session
from protojobs_worker.tracing import Tracing

logger = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., object])
HookFunction = TypeVar("HookFunction", bound=Hook)
JobClass = TypeVar("JobClass", bound=type[Job])
PoolName = Literal["loop", "thread", "process"]


class WorkerSettings(TypedDict, total=False):
    """Keyword settings of `Worker`; see `WorkerOptions` for units, defaults and bounds."""

    order: Literal["weighted", "strict"]
    concurrency: int
    window: int | None
    name: str
    session_ttl: float | None
    grace: float
    stop_grace: float
    stuck_limit: int | None
    processes: int | None
    until_empty: bool
    empty_grace: float
    max_jobs: int | None
    max_memory: int | None
    max_lifetime: float | None
    health_file: Any
    health_port: int | None
    unhealthy_after: float
    trace_parent: TraceParent


class Worker:
    """Takes jobs of some queues and runs their handlers.

    worker = Worker("127.0.0.1:50051", queues={"critical": 5, "default": 1})

    @worker.handler("send_email", timeout=30)
    async def send_email(ctx: JobContext, data: Email) -> None: ...

    worker.run()
    """

    def __init__(
        self,
        server: str | Options | None = None,
        *,
        queues: Mapping[str, int] | Sequence[str] = ("default",),
        codec: Codec | None = None,
        middleware: Sequence[Middleware] = (),
        **settings: Unpack[WorkerSettings],
    ) -> None:
        """Describe a worker; nothing connects before `run` or `serve`.

        `server`: an address, `protojobs_client.Options`, or None for PROTOJOBS_* of the environment.
        """
        match server:
            case None:
                self.connection = Options.from_env()
            case str():
                self.connection = Options.from_env().at(server)
            case Options():
                self.connection = server
        self.options = WorkerOptions(queues=queue_weights(queues), **settings)
        self.registry = Registry()
        self.exit: ExitReason | None = None
        self._codec = codec
        self._middleware = tuple(middleware)
        self._hooks = Hooks()
        self._session: Session | None = None
        self._thread: ServiceThread | None = None
        self._owns_process = False
        self._stop_signals = 0

    # ---- handlers --------------------------------------------------------------------------------------

    def handler(
        self,
        kind: str,
        *,
        pool: PoolName | None = None,
        inline: bool = False,
        timeout: timedelta | float | None = None,
        payload: Any = None,
        should_retry: Callable[[BaseException], bool] | None = None,
        failed: Callable[[JobContext, BaseException], object] | None = None,
    ) -> Callable[[Function], Function]:
        """Register the decorated function for a kind; it is returned unchanged.

        Async functions run on the event loop, others on a thread. `pool="process"` runs either in a process of its
        own, which is killed if it does not stop in time. `inline=True` runs a plain function on the loop: for work of
        microseconds. `timeout` may shorten the job's run timeout, in seconds. `payload`: a dataclass, TypedDict,
        pydantic model or any callable of the decoded payload. See `protojobs_worker.registry` for parameters.
        """
        options = HandlerOptions(
            pool=None if pool is None else Pool(pool),
            inline=inline,
            timeout=None if timeout is None else as_timedelta(timeout).total_seconds(),
            payload=payload,
            should_retry=should_retry,
            failed=failed,
        )

        def register(function: Function) -> Function:
            self.registry.add(Handler(kind, function, options, self._codec))
            return function

        return register

    def register(
        self,
        job: JobClass,
        *,
        pool: PoolName | None = None,
        inline: bool = False,
        payload: Any = None,
    ) -> JobClass:
        """Register a `protojobs_client.Job` class under its kind; usable as a decorator."""
        options = HandlerOptions(pool=None if pool is None else Pool(pool), inline=inline, payload=payload)
        self.registry.add(Handler(job.kind, job, options, self._codec))
        return job

    @overload
    def on(self, event: EventName, hook: HookFunction) -> HookFunction: ...
    @overload
    def on(self, event: EventName) -> Callable[[HookFunction], HookFunction]: ...
    def on(self, event: EventName, hook: Hook | None = None) -> Any:
        """Call `hook` at every such event; without a hook, a decorator. See `protojobs_worker.middleware`."""
        if hook is not None:
            self._hooks.add(event, hook)
            return hook

        def register(function: HookFunction) -> HookFunction:
            self._hooks.add(event, function)
            return function

        return register

    # ---- running ---------------------------------------------------------------------------------------

    def run(self) -> ExitReason:
        """Serve until the worker ends; returns why. Call it from the main thread: it handles signals.

        SIGTERM and SIGINT: finish running jobs for `grace` seconds, then cancel them for `stop_grace` seconds, then
        give them back. A second one: give everything back now. SIGUSR1: take no more jobs. If a handler that cannot
        be stopped blocks the event loop at the end, the process exits without it.
        """
        handled = {
            signal.SIGTERM: self._on_stop_signal,
            signal.SIGINT: self._on_stop_signal,
            signal.SIGUSR1: self._on_quiet_signal,
        }
        # Not loop.add_signal_handler: that waits for a loop which a handler may be blocking.
        before = {number: signal.signal(number, handler) for number, handler in handled.items()}
        self._owns_process, self._stop_signals = True, 0
        # What is loaded by now stays: the collector need not look at it again (8 % of the time of a no-op job).
        gc.freeze()
        try:
            return asyncio.run(self.serve())
        finally:
            self._owns_process = False
            for number, handler in before.items():
                signal.signal(number, handler)

    async def serve(self) -> ExitReason:
        """Serve in the running event loop until the worker ends; returns why. Cancelling it stops at once."""
        if self._session is not None:
            raise RuntimeError("this worker is running already")
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def done(error: BaseException | None) -> None:
            with contextlib.suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(_resolve, ended, error)

        executor = self._executor()
        session = Session(
            replace(self.options, concurrency=self.concurrency),
            self.registry.kinds(),
            executor,
            version=version("proto-jobs-worker"),
            uniform=random.uniform,
            exchange=Exchange.if_configured(self.options.name, self.connection),
        )
        self._session, self.exit = session, None
        self._thread = ServiceThread(
            self.connection,
            self.options,
            session,
            executor,
            self._hooks,
            loop,
            done,
            exits_process=self._owns_process,
        )
        began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                executor.bind(group)
                self._hooks.bind(group)
                self._hooks.emit(
                    "worker.starting",
                    WorkerStarting(worker=self.options.name, queues=tuple(self.options.queues)),
                )
                self._thread.start()
                try:
                    await asyncio.shield(ended)
                except asyncio.CancelledError:
                    self.stop(now=True)
                    await _given_back(ended)
                    raise
                executor.stop_lanes()
                reason = self.exit = session.leaving.exit or ExitReason.SIGNAL
                processed, seconds = session.holding.ended, max(time.monotonic() - began, 1e-9)
                self._hooks.emit(
                    "worker.stopped",
                    WorkerStopped(
                        worker=self.options.name,
                        processed=processed,
                        rate=processed / seconds,
                        reason=reason.label,
                    ),
                )
        finally:
            executor.close()
            self._thread.released.set()
            self._session = None
        return reason

    def stop(self, *, now: bool = False) -> None:
        """Leave as after SIGTERM; `now` as after a second one. Safe from every thread and before `serve`'s end."""
        if (session := self._session) is not None:  # `serve` may end on its own thread meanwhile
            session.leave(ExitReason.SIGNAL)
            if now:
                session.leave(ExitReason.KILLED)

    def quiet(self) -> None:
        """Take no more jobs, as after SIGUSR1."""
        if (session := self._session) is not None:
            session.quiet()

    @property
    def concurrency(self) -> int:
        """How many handlers can run at once: where all run in processes, no more than there are."""
        options = self.options
        only_processes = len(self.registry) and all(handler.pool is Pool.PROCESS for handler in self.registry)
        return min(options.processes or options.concurrency, options.concurrency) if only_processes else options.concurrency

    @property
    def health_port(self) -> int:
        """Port of /healthz once the worker runs; 0 if there is none."""
        return 0 if self._thread is None else self._thread.health_port

    def _executor(self) -> Executor:
        tracing = Tracing.if_configured(trace_parent=self.options.trace_parent, worker=self.options.name)
        around = Surroundings.of(self._middleware, self._hooks, tracing)
        return Executor(
            self.registry,
            self._hooks,
            around,
            concurrency=self.concurrency,
            processes=self.options.processes,
            stop_grace=self.options.stop_grace,
        )

    def _on_stop_signal(self, number: int, _frame: FrameType | None) -> None:
        session = self._session
        if session is None:
            raise KeyboardInterrupt
        again = self._stop_signals > 0
        self._stop_signals += 1
        logger.info("signal", extra={"signal": signal.Signals(number).name})
        self.stop(now=again)

    def _on_quiet_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.quiet()


async def _given_back(ended: asyncio.Future[None]) -> None:
    """Wait for the end of a session that was told to leave at once."""
    while not ended.done():
        # Also a second cancellation waits: leases that are not given back run out only after their ttl.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([ended])


def _resolve(ended: asyncio.Future[None], error: BaseException | None) -> None:
    if ended.done():
        return
    if error is None:
        ended.set_result(None)
    else:
        ended.set_exception(error)

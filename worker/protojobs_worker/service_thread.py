"""The thread on which the session lives, with its timers, health and the rules by which a worker ends by itself."""

import asyncio
import logging
import os
import resource
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic

import grpc
from protojobs.v1 import queue_service_pb2, queue_service_pb2_grpc, worker_service_pb2_grpc
from protojobs_client.channel import open_channel
from protojobs_client.errors import UnauthenticatedError
from protojobs_client.options import Options
from protojobs_client.redial import on_change

from protojobs_worker.executor import Executor
from protojobs_worker.health import Health, HealthFile, HealthServer
from protojobs_worker.holding import Phase
from protojobs_worker.middleware import Hooks, MemoryExceeded
from protojobs_worker.options import ExitReason, WorkerOptions
from protojobs_worker.session import Session

logger = logging.getLogger(__name__)

_RARE_SECONDS = 1.0
_LOOP_SECONDS = 10.0
_STATS_SECONDS = 5.0
_STATM = Path("/proc/self/statm")


class ServiceThread:
    """Runs a session beside the user's event loop until it has left."""

    def __init__(
        self,
        connection: Options,
        options: WorkerOptions,
        session: Session,
        executor: Executor,
        hooks: Hooks,
        user_loop: asyncio.AbstractEventLoop,
        done: Callable[[BaseException | None], None],
        *,
        exits_process: bool,
    ) -> None:
        self.health_port = 0
        self.released = threading.Event()
        self._exits_process = exits_process
        self._connection = connection
        self._options = options
        self._session = session
        self._executor = executor
        self._hooks = hooks
        self._user_loop = user_loop
        self._done = done
        self._began_at = monotonic()
        self._loop_seen_at = monotonic()
        self._loop_asked = False
        self._thread = threading.Thread(target=self._main, name="protojobs-session", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def health(self) -> Health:
        """Say how the worker is."""
        session, now = self._session, monotonic()
        patience = self._options.unhealthy_after
        return Health(
            stream=session.connected or now < session.down_since + patience,
            loop=now < self._loop_seen_at + max(_LOOP_SECONDS, patience),
            phase=session.holding.phase.value,
            running=session.holding.ledger.running,
            waiting=session.holding.ledger.waiting,
            unsettled=len(session.holding.ledger),
            stuck=session.holding.stuck,
        )

    def _main(self) -> None:
        error: BaseException | None = None
        try:
            asyncio.run(self._serve())
        except UnauthenticatedError as cause:
            self._session.refuse(cause)
        except Exception as cause:
            logger.exception("session failed")
            error = cause
        self._done(error)
        if self._exits_process and not self.released.wait(self._options.stop_grace + 1.0):
            # A handler that cannot be stopped holds the loop or its task; nothing is left to save.
            reason = self._session.leaving.exit
            logger.error("a handler blocks the exit; exiting without it")
            logging.shutdown()
            os._exit(1 if reason is None else reason.code)

    async def _serve(self) -> None:
        async with AsyncExitStack() as stack:
            channel = await stack.enter_async_context(open_channel(self._connection))
            if self._options.health_port is not None:
                server = HealthServer(self.health)
                await server.start(self._options.health_port)
                stack.push_async_callback(server.stop)
                self.health_port = server.port
            file = None if self._options.health_file is None else HealthFile(self._options.health_file)
            if file is not None:
                stack.callback(file.remove)
            on_change(channel, self._session.move)
            stub = worker_service_pb2_grpc.WorkerServiceStub(channel)
            async with asyncio.TaskGroup() as group:
                timers = [
                    group.create_task(self._often(), name="protojobs-upkeep"),
                    group.create_task(self._rarely(file), name="protojobs-rules"),
                ]
                if self._options.until_empty:
                    timers.append(group.create_task(self._until_empty(channel), name="protojobs-until-empty"))
                await self._session.run(stub.Lease)
                for timer in timers:
                    timer.cancel()

    async def _often(self) -> None:
        while True:
            self._session.upkeep()
            await asyncio.sleep(self._session.holding.limits.tick)

    async def _rarely(self, file: HealthFile | None) -> None:
        while True:
            self._look_at_loop()
            if file is not None:
                file.show(self.health())
            if self._session.holding.phase is not Phase.LEAVING:
                self._apply_rules()
            await asyncio.sleep(_RARE_SECONDS)

    def _look_at_loop(self) -> None:
        """Ask the user's loop for a sign of life, one question at a time."""
        if not self._loop_asked and not self._user_loop.is_closed():
            self._loop_asked = True
            self._user_loop.call_soon_threadsafe(self._loop_answers)

    def _loop_answers(self) -> None:
        self._loop_seen_at = monotonic()
        self._loop_asked = False

    def _apply_rules(self) -> None:
        options = self._options
        if options.max_lifetime is not None and monotonic() >= self._began_at + options.max_lifetime:
            self._session.leave(ExitReason.MAX_LIFETIME)
        if options.max_memory is not None and (used := memory_bytes()) > options.max_memory:
            logger.warning("memory exceeded", extra={"memory_bytes": used, "limit_bytes": options.max_memory})
            self._hooks.emit_on_loop("worker.memory_exceeded", MemoryExceeded(worker=options.name, memory_bytes=used))
            self._session.leave(ExitReason.MAX_MEMORY)

    async def _until_empty(self, channel: grpc.aio.Channel) -> None:
        """Leave when nothing was delivered for a second and the server counts no PENDING job in our queues."""
        stats = queue_service_pb2_grpc.QueueServiceStub(channel)
        while True:
            await asyncio.sleep(0.25)
            session = self._session
            idle = monotonic() - session.holding.last_busy
            if not session.connected or not session.holding.ledger.idle or idle < _RARE_SECONDS:
                continue
            if idle >= self._options.empty_grace or await self._nothing_waits(stats):
                session.leave(ExitReason.EMPTY)
                return

    async def _nothing_waits(self, stub: "queue_service_pb2_grpc.QueueServiceAsyncStub") -> bool:
        try:
            answer = await stub.Stats(queue_service_pb2.StatsRequest(), timeout=_STATS_SECONDS)
        except grpc.RpcError:
            return False  # the idle grace decides
        return not any(queue.counts.pending for queue in answer.queues if queue.queue in self._options.queues)


def memory_bytes() -> int:
    """Measure what this process holds in memory; where the system does not tell, the most it ever held."""
    try:
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

"""The admin port: probes and metrics over HTTP, on the event loop that serves gRPC.

/livez answers while the loop turns and never touches the store: a blocked loop answers nobody, and that is the watchdog.
/readyz says whether to send calls here. /metrics is what Prometheus reads.
"""

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from protojobs_service.application import Application, QueueStats
from protojobs_service.domain.errors import JobsError
from protojobs_service.telemetry import Reading, Telemetry

# A user may make any number of queues; a metric has no more labels than these, and the rest as one.
_MOST_QUEUES = 100
_OTHER = "_OTHER"
_STATS_LIFETIME = 1.0
_LOOP_TICK = 0.25
_BACKLOG = 128

_log = logging.getLogger(__name__)


class LoopWatch:
    """Measures how late the event loop is; the worst since somebody last asked."""

    def __init__(self) -> None:
        self._worst = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LOOP_TICK
            await asyncio.sleep(_LOOP_TICK)
            late = loop.time() - due
            self._worst = max(self._worst, late)
            if late > 1.0:
                _log.warning("event loop was blocked", extra={"seconds": round(late, 3)})

    def take(self) -> float:
        """Return the worst lag since the last call, s."""
        worst, self._worst = self._worst, 0.0
        return worst


class QueueGauges:
    """Keeps the last numbers of the queues for the gauges, read from the store at most once a second."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._stats: Sequence[QueueStats] = ()
        self._at: datetime | None = None
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def refresh(self) -> None:
        """Read the numbers anew unless that was just done; forget them where the store does not answer."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._read_at < _STATS_LIFETIME:
                return
            self._read_at = now
            try:
                self._stats, self._at = await self._application.queues.stats()
            except JobsError:
                self._stats, self._at = (), None

    def depth(self) -> Reading:
        """Return the jobs by queue and state."""
        jobs: Counter[tuple[str, str]] = Counter()
        for name, stats in self._named():
            for state, count in stats.numbers.counts.items():
                jobs[name, state.name.lower()] += count
        return [(count, {"queue": queue, "state": state}) for (queue, state), count in jobs.items()]

    def oldest(self) -> Reading:
        """Return the age of the oldest pending job by queue, s."""
        ages: dict[str, float] = {}
        for name, stats in self._named():
            since = stats.numbers.oldest_pending_at
            age = timedelta() if since is None or self._at is None else max(self._at - since, timedelta())
            ages[name] = max(ages.get(name, 0.0), age.total_seconds())
        return [(age, {"queue": queue}) for queue, age in ages.items()]

    def workers(self) -> Reading:
        """Return the connected sessions by queue."""
        counts: Counter[str] = Counter()
        for name, stats in self._named():
            counts[name] += stats.numbers.workers
        return [(count, {"queue": queue}) for queue, count in counts.items()]

    def _named(self) -> Iterator[tuple[str, QueueStats]]:
        by_size = sorted(self._stats, key=lambda stats: sum(stats.numbers.counts.values()), reverse=True)
        for place, stats in enumerate(by_size):
            yield (stats.numbers.queue if place < _MOST_QUEUES else _OTHER), stats


class Admin:
    """Serves the admin port. why_not_ready: empty while calls should come here."""

    def __init__(
        self,
        application: Application,
        telemetry: Telemetry,
        *,
        why_not_ready: Callable[[], str],
        load: Callable[[], Mapping[str, float]],
    ) -> None:
        self._telemetry = telemetry
        self._why_not_ready = why_not_ready
        self._queues = QueueGauges(application)
        self._loop = LoopWatch()
        observe = telemetry.observe
        observe("protojobs.queue.jobs", "Jobs by queue and state.", self._queues.depth, "{job}")
        observe("protojobs.queue.oldest_job.age", "Age of the oldest pending job.", self._queues.oldest, "s")
        observe("protojobs.worker.connected", "Live worker sessions that read a queue.", self._queues.workers, "{session}")
        observe("protojobs.process.eventloop.lag", "Worst lag of the event loop since the last look.", self._lag, "s")
        observe("protojobs.store.up", "The store answered the last probe.", lambda: [(int(application.store_time.ok), {})])
        observe("protojobs.rpc.active", "Calls and streams at this moment.", lambda: [(n, {"what": k}) for k, n in load().items()])
        routes = [Route("/livez", self._livez), Route("/readyz", self._readyz), Route("/metrics", self._metrics)]
        self._app = Starlette(routes=routes)

    @contextlib.asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncGenerator[int]:
        """Listen as long as the context lasts; gives the port. Raises OSError where the address is taken."""
        listener = await asyncio.to_thread(_listen, host, port)
        config = uvicorn.Config(self._app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        server = _Server(config)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.serve(sockets=[listener]), name="admin")
            watching = tasks.create_task(self._loop.run(), name="loop watch")
            try:
                yield listener.getsockname()[1]
            finally:
                watching.cancel()
                server.should_exit = True
                await asyncio.wait([serving])
                listener.close()

    def _lag(self) -> Reading:
        return [(self._loop.take(), {})]

    async def _livez(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _readyz(self, _: Request) -> Response:
        why = self._why_not_ready()
        return JSONResponse({"status": why or "ok"}, status_code=503 if why else 200)

    async def _metrics(self, _: Request) -> Response:
        await self._queues.refresh()
        return Response(self._telemetry.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own order of shutting down."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener

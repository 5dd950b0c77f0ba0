"""The admin port: probes, metrics, calls as JSON and the console over HTTP, on the event loop that serves gRPC.

/livez answers while the loop turns and never touches the store: a blocked loop answers nobody, and that is the watchdog.
/readyz says whether to send calls here. /metrics is what Prometheus reads.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from protojobs_service.admin.connection import Connection
from protojobs_service.admin.loop_watch import LoopWatch
from protojobs_service.admin.outbox_gauges import OutboxGauges
from protojobs_service.admin.queue_gauges import QueueGauges
from protojobs_service.admin.server_gauges import ServerGauges
from protojobs_service.admin.tls import live_context
from protojobs_service.application import Application, Relay
from protojobs_service.certificates import Certificates
from protojobs_service.settings import Listener
from protojobs_service.telemetry import Reading, Telemetry

_BACKLOG = 128


class Admin:
    """Serves the admin port. why_not_ready: empty while calls should come here. load, refusals: see `ServerGauges`.

    routes: what there is beside probes and metrics.
    """

    def __init__(
        self,
        application: Application,
        telemetry: Telemetry,
        *,
        why_not_ready: Callable[[], str],
        load: Callable[[], Mapping[str, float]],
        refusals: Callable[[], Mapping[str, int]],
        relays: Sequence[Relay] = (),
        routes: Sequence[BaseRoute] = (),
    ) -> None:
        self._telemetry = telemetry
        self._why_not_ready = why_not_ready
        self._queues = QueueGauges(application.recent_stats)
        self._loop = LoopWatch()
        self._outboxes = OutboxGauges(relays)
        for gauges in (self._queues, self._outboxes, ServerGauges(application, load=load, refusals=refusals)):
            gauges.register(telemetry)
        telemetry.observe("protojobs.process.eventloop.lag", "Worst lag of the event loop in the last minutes.", self._lag, "s")
        own = [Route("/livez", self._livez), Route("/readyz", self._readyz), Route("/metrics", self._metrics)]
        self._app = Starlette(routes=[*own, *routes])

    @contextlib.asynccontextmanager
    async def serving(self, place: Listener) -> AsyncGenerator[int]:
        """Listen as long as the context lasts; gives the port. Raises OSError, InvalidSettings."""
        config = uvicorn.Config(
            self._app,
            http=Connection,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
            # Whoever is not our proxy could say in them who else he is.
            proxy_headers=False,
            server_header=False,
        )
        config.load()
        if place.tls.enabled:
            config.ssl = live_context(Certificates(place))
        listener = await asyncio.to_thread(_listen, place.host, place.port)
        server = _Server(config)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.serve(sockets=[listener]), name="admin")
            watching = tasks.create_task(self._loop.run(), name="loop watch")
            try:
                with self._telemetry.watched(self._refresh):
                    yield listener.getsockname()[1]
            finally:
                watching.cancel()
                server.should_exit = True
                await asyncio.wait([serving])
                listener.close()

    def _lag(self) -> Reading:
        return [(self._loop.worst(), {})]

    async def _refresh(self) -> None:
        await self._queues.refresh()
        await self._outboxes.refresh()

    async def _livez(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _readyz(self, _: Request) -> Response:
        why = self._why_not_ready()
        return JSONResponse({"status": why or "ok"}, status_code=503 if why else 200)

    async def _metrics(self, _: Request) -> Response:
        await self._refresh()
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
    except OSError as error:
        listener.close()
        # Of several listeners, and several processes with one each, which?
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener

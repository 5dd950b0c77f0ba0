"""grpc.health.v1 that knows the store: what balancers and probes are told."""

import asyncio
import logging
from collections.abc import Callable, Iterable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protojobs_service.application import Clock, StoreTime
from protojobs_service.domain.errors import JobsError, Overloaded
from protojobs_service.transport.call import Context

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# Each is a call of gRPC's, some 20 KiB: all servers and balancers that watch us are fewer.
_MOST_WATCHERS = 10_000

_log = logging.getLogger(__name__)


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Answers Check and Watch from one table.

    grpc_health's own servicer forgets the other watchers of a service when one of them leaves (1.81: it deletes their
    condition), so clients that watch would never hear of a drain.
    """

    def __init__(self, *, most_watchers: int = _MOST_WATCHERS) -> None:
        self._most_watchers = most_watchers
        self._watchers = 0
        self._statuses: dict[str, int] = {}
        self._changed = asyncio.Event()

    def set(self, services: Iterable[str], status: int) -> None:
        """Change the status of services and tell everybody who watches."""
        self._statuses.update(dict.fromkeys(services, status))
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:  # noqa: N802
        """Answer the status of one service; NOT_FOUND for an unknown one."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:  # noqa: N802
        """Send the status of one service now and whenever it changes. Raises Overloaded; no other limit holds for watchers."""
        if self._watchers >= self._most_watchers:
            raise Overloaded("too many watchers of health")
        self._watchers += 1
        try:
            await self._tell(request.service, context)
        finally:
            self._watchers -= 1

    async def _tell(self, service: str, context: Context) -> None:
        told = None
        while True:
            changed = self._changed
            status = self._statuses.get(service, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
            if status != told:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                told = status
            await changed.wait()


class Health:
    """Says SERVING while the store answers: NOT_SERVING after some failed probes in a row, and for good once it drains.

    one_of_many: of the processes of a server. SERVING begins when all of them have been ready at once; from then on each speaks for
    itself, or the death of one would send the callers of all others away.
    """

    def __init__(
        self,
        store_time: StoreTime,
        clock: Clock,
        services: list[str],
        *,
        interval: float,
        failures: int,
        one_of_many: bool = False,
    ) -> None:
        self.servicer = HealthServicer()
        self._store_time = store_time
        self._clock = clock
        self._services = ["", *services]
        self._interval = interval
        self._allowed = failures
        self._failed = 0
        self._draining = False
        self._all_ready = self._joined = not one_of_many
        self._changed: Callable[[bool], None] = _tell_nobody

    @property
    def is_ready(self) -> bool:
        """Tell whether this process could serve, whatever the others do."""
        return not self._draining and self._failed < self._allowed

    @property
    def is_serving(self) -> bool:
        """Tell what the services are said to be."""
        return self.is_ready and self._joined

    @property
    def why_not(self) -> str:
        """Return why no calls should be sent here, or to the others behind this port; empty where they should."""
        if not self.is_ready:
            return "draining" if self._draining else "the store does not answer"
        return "" if self._all_ready else "another process of this server is not ready"

    def watched_by(self, changed: Callable[[bool], None]) -> None:
        """Tell `changed` now, and at every change, what `is_ready` is. Instead of whoever was told before."""
        self._changed = changed
        changed(self.is_ready)

    def all_ready(self, ready: bool) -> None:
        """Hear whether all processes of this server are ready, this one included."""
        self._all_ready = ready
        if ready and not self._joined:
            self._joined = True
            self._tell()

    async def start(self) -> None:
        """Name every service."""
        self._tell()

    async def run(self) -> None:
        """Probe the store until cancelled."""
        while True:
            await self._clock.sleep(self._interval)
            await self.probe()

    async def probe(self) -> None:
        """Ask the store once."""
        before = self.is_ready
        try:
            await self._store_time.refresh()
        except JobsError as error:
            self._failed += 1
            _log.warning("store probe failed", extra={"failed": self._failed, "why": error.message})
        except Exception:  # noqa: BLE001 # a probe that ends by it would end the server
            self._failed += 1
            _log.exception("store probe failed", extra={"failed": self._failed})
        else:
            if self._failed:
                _log.info("store answers again", extra={"failed": self._failed})
            self._failed = 0
        if self.is_ready != before:
            self._tell()
            self._changed(self.is_ready)

    async def drain(self) -> None:
        """Say NOT_SERVING from here on."""
        self._draining = True
        self._tell()
        self._changed(False)

    def _tell(self) -> None:
        self.servicer.set(self._services, _SERVING if self.is_serving else _NOT_SERVING)


def _tell_nobody(_: bool) -> None:
    pass

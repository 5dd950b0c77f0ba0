"""grpc.health.v1 that knows the store: what balancers and probes are told."""

import logging

from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer

from protojobs_service.application import Clock, StoreTime
from protojobs_service.domain.errors import StoreUnavailable

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

_log = logging.getLogger(__name__)


class Health:
    """Says SERVING while the store answers: NOT_SERVING after some failed probes in a row, and for good once it drains."""

    def __init__(self, store_time: StoreTime, clock: Clock, services: list[str], *, interval: float, failures: int) -> None:
        self.servicer = HealthServicer()
        self._store_time = store_time
        self._clock = clock
        self._services = ["", *services]
        self._interval = interval
        self._allowed = failures
        self._failed = 0
        self._draining = False

    @property
    def is_serving(self) -> bool:
        """Tell what the services are said to be."""
        return not self._draining and self._failed < self._allowed

    @property
    def why_not(self) -> str:
        """Return why it is not serving; empty where it is."""
        return "" if self.is_serving else "draining" if self._draining else "the store does not answer"

    async def start(self) -> None:
        """Name every service."""
        await self._tell()

    async def run(self) -> None:
        """Probe the store until cancelled."""
        while True:
            await self._clock.sleep(self._interval)
            await self.probe()

    async def probe(self) -> None:
        """Ask the store once."""
        before = self.is_serving
        try:
            await self._store_time.refresh()
        except StoreUnavailable as error:
            self._failed += 1
            _log.warning("store probe failed", extra={"failed": self._failed, "why": error.message})
        else:
            if self._failed:
                _log.info("store answers again", extra={"failed": self._failed})
            self._failed = 0
        if self.is_serving != before:
            await self._tell()

    async def drain(self) -> None:
        """Say NOT_SERVING from here on."""
        self._draining = True
        await self.servicer.enter_graceful_shutdown()

    async def _tell(self) -> None:
        for service in self._services:
            await self.servicer.set(service, _SERVING if self.is_serving else _NOT_SERVING)

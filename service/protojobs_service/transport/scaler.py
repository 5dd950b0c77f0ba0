"""The listener of KEDA's external scaler: apart from the contract's, as KEDA brings no token and none of the contract is for it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc
import grpc.aio
from protojobs.keda import externalscaler_pb2

from protojobs_service.application import Application
from protojobs_service.settings import Settings
from protojobs_service.telemetry import Telemetry, service_version
from protojobs_service.transport.call import Interceptor
from protojobs_service.transport.interceptors import Admission, Deadline, Drain, Errors, RequestId
from protojobs_service.transport.listener import bind
from protojobs_service.transport.procedures import generic_handler, procedures
from protojobs_service.transport.scaler_servicer import ScalerServicer
from protojobs_service.transport.server import connection_arguments

_MOST_CALLS, _MOST_CALL_BYTES, _MOST_STREAMS = 200, 8 * 1024 * 1024, 5000
_MOST_BYTES = 64 * 1024
"""A trigger with a hundred queues of the longest names has 13 KiB."""


class ScalerServer:
    """Serves the scaler beside a server of the contract, and ends its streams when that one drains."""

    def __init__(self, application: Application, settings: Settings, telemetry: Telemetry, drain: Drain) -> None:
        version = service_version()
        interceptors: tuple[Interceptor, ...] = (
            RequestId(version, telemetry.calls),
            Errors(version),
            Deadline(timedelta(seconds=settings.limits.call_timeout)),
            Admission(_MOST_CALLS, _MOST_CALL_BYTES, _MOST_STREAMS),
        )
        service = externalscaler_pb2.DESCRIPTOR.services_by_name["ExternalScaler"]
        servicer = ScalerServicer(application.scaling, application.clock, drain)
        self._handler = generic_handler(service, procedures(service, servicer, interceptors))
        self._settings = settings

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[int]:
        """Listen as long as the context lasts, and give the port. Raises OSError, InvalidSettings."""
        server = grpc.aio.server(options=_channel_arguments(self._settings))
        server.add_generic_rpc_handlers([self._handler])
        port = bind(server, self._settings.listener("scaler"))
        await server.start()
        try:
            yield port
        finally:
            await server.stop(0)


def _channel_arguments(settings: Settings) -> Sequence[tuple[str, int]]:
    """Return the arguments of every connection. None is too old: KEDA takes its end as an error of each ScaledObject."""
    return [
        *connection_arguments(settings.grpc),
        ("grpc.max_receive_message_length", _MOST_BYTES),
        ("grpc.max_send_message_length", _MOST_BYTES),
    ]

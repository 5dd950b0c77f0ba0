"""The gRPC server: every service behind the interceptors, the channel arguments, start and stop."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer
from protojobs.v1 import (
    admin_service_pb2,
    job_service_pb2,
    queue_service_pb2,
    schedule_service_pb2,
    server_service_pb2,
    worker_service_pb2,
)

from protojobs_service.application import Application, Authentication, SystemClock
from protojobs_service.domain.queue_limits import RateLimit
from protojobs_service.settings import GrpcSettings, LimitSettings, Settings, is_loopback
from protojobs_service.telemetry import Telemetry, service_version
from protojobs_service.transport.admin_servicer import AdminServicer
from protojobs_service.transport.answers import Answers
from protojobs_service.transport.audit import AuditTrail
from protojobs_service.transport.auth import Authenticate, OpenStreams
from protojobs_service.transport.call import Interceptor
from protojobs_service.transport.health import Health
from protojobs_service.transport.interceptors import Admission, CutAtDrain, Deadline, Drain, Errors, RequestId
from protojobs_service.transport.job_servicer import JobServicer
from protojobs_service.transport.limits import MOST_METADATA, Allowance, CallerLimits
from protojobs_service.transport.listener import bind
from protojobs_service.transport.local import LocalCalls
from protojobs_service.transport.permissions import Authorize
from protojobs_service.transport.procedures import Procedure, Service, generic_handler, procedures
from protojobs_service.transport.queue_servicer import QueueServicer
from protojobs_service.transport.schedule_servicer import ScheduleServicer
from protojobs_service.transport.server_servicer import ServerServicer
from protojobs_service.transport.specs import Specs
from protojobs_service.transport.tracing import rpc_spans
from protojobs_service.transport.worker_servicer import WorkerServicer

_METADATA_SOFT = 8 * 1024
_HANDSHAKE_MS, _SETTINGS_MS = 10_000, 5000
_PENDING = 10_000
_DEFAULT_RATE, _DEFAULT_BYTES, _DEFAULT_STREAMS, _DEFAULT_WAITS = 5000, 128 * 1024 * 1024, 50, 500
_BURST_SECONDS = 2


class GrpcServer:
    """Serves an application over gRPC."""

    def __init__(
        self,
        application: Application,
        settings: Settings,
        telemetry: Telemetry,
        authentication: Authentication | None = None,
        *,
        one_of_many: bool = False,
    ) -> None:
        """one_of_many: see `Health`."""
        self._application = application
        self._authentication = authentication
        self._open_streams = OpenStreams(application.clock)
        self._settings = settings
        self.drain_signal = Drain()
        limits = settings.limits
        self.admission = Admission(limits.max_calls, limits.max_call_bytes, limits.max_streams)
        self.caller_limits = CallerLimits(
            _allowance(limits, _DEFAULT_RATE, _DEFAULT_BYTES, _DEFAULT_STREAMS, _DEFAULT_WAITS), _allowance(limits, 0, 0, 0, 0)
        )
        self.answers = Answers(limits.max_answer_bytes)
        specs = Specs(application.limits)
        application.known_queues.on_payloads(specs.limit_payloads)
        servicers: dict[Service, object] = {
            _service(job_service_pb2): JobServicer(application, specs, self.drain_signal, window=limits.dispatch_window),
            _service(queue_service_pb2): QueueServicer(application, self.drain_signal),
            _service(schedule_service_pb2): ScheduleServicer(application, specs),
            _service(worker_service_pb2): WorkerServicer(application, specs, self.drain_signal, server_id=settings.server_id),
            _service(server_service_pb2): ServerServicer(application, version=service_version(), server_id=settings.server_id),
            _service(admin_service_pb2): AdminServicer(application),
        }
        names = [service.full_name for service in servicers]
        probes = settings.store
        self.health = Health(
            application.store_time,
            SystemClock(),
            names,
            interval=probes.probe_interval,
            failures=probes.probe_failures,
            one_of_many=one_of_many,
        )
        version = service_version()
        interceptors: tuple[Interceptor, ...] = (
            RequestId(version, telemetry.calls),
            *rpc_spans(telemetry.tracer),
            Errors(version),
            AuditTrail(application.audit, application.known_queues),
            Authenticate(authentication, self._open_streams),
            Authorize(),
            self.caller_limits,
            self.answers,
            Deadline(timedelta(seconds=limits.call_timeout)),
            CutAtDrain(self.drain_signal),
            self.admission,
        )
        essential, ends_work = frozenset({"GetServerInfo"}), frozenset({"SettleLeases", "ExtendLeases"})
        self._handlers: list[grpc.GenericRpcHandler] = []
        local: dict[str, Procedure] = {}
        for each, servicer in servicers.items():
            made = procedures(each, servicer, interceptors, essential=essential, ends_work=ends_work)
            self._handlers.append(generic_handler(each, made))
            local |= {procedure.rpc.path: procedure for procedure in made.values()}
        self.local = LocalCalls(local)
        health = health_pb2.DESCRIPTOR.services_by_name["Health"]
        checks = frozenset({"Check", "Watch"})
        made = procedures(health, self.health.servicer, interceptors, essential=checks, cut_at_drain=True)
        self._handlers.append(generic_handler(health, made))
        if _reflects(settings):
            reflection = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]
            servicer = ReflectionServicer([*names, health.full_name, reflection.full_name])
            self._handlers.append(generic_handler(reflection, procedures(reflection, servicer, interceptors, cut_at_drain=True)))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[int]:
        """Listen as long as the context lasts, and give the port; then drain, and stop. Raises OSError, InvalidSettings."""
        await self.health.start()
        server = grpc.aio.server(options=channel_arguments(self._settings))
        server.add_generic_rpc_handlers(self._handlers)
        port = bind(server, self._settings.listener("api"))
        await server.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                timers = [tasks.create_task(self.health.run(), name="store probe")]
                if self._authentication is not None:
                    timers.append(tasks.create_task(self._authentication.run(), name="authentication"))
                    looking = self._open_streams.run(self._authentication.still_valid)
                    timers.append(tasks.create_task(looking, name="credentials of streams"))
                yield port
                await self._drain()
                for timer in timers:
                    timer.cancel()
        finally:
            # Refuses new calls at once, and cancels those that still run after the grace.
            await server.stop(self._settings.shutdown.grace if self.drain_signal.begun else 0)

    async def _drain(self) -> None:
        """Say NOT_SERVING, wait for balancers to notice, then ask every stream to leave. Calls are still served."""
        await self.health.drain()
        await asyncio.sleep(self._settings.shutdown.delay)
        self.drain_signal.begin()
        self._application.leasing.drain()


def channel_arguments(settings: Settings) -> Sequence[tuple[str, int]]:
    """Return the arguments of every connection; grpc-core ignores a name that it does not know, so a test measures them."""
    limits, values = settings.limits, settings.grpc
    return [
        *connection_arguments(values),
        ("grpc.max_connection_age_ms", _ms(values.max_connection_age)),
        ("grpc.max_connection_age_grace_ms", _ms(values.max_connection_age_grace)),
        ("grpc.max_receive_message_length", limits.max_receive_bytes),
        ("grpc.max_send_message_length", limits.max_send_bytes),
    ]


def connection_arguments(values: GrpcSettings) -> Sequence[tuple[str, int]]:
    """Return the arguments of connections of every gRPC listener."""
    return [
        *_keepalive(values),
        ("grpc.max_connection_idle_ms", _ms(values.max_connection_idle)),
        ("grpc.max_concurrent_streams", values.max_concurrent_streams),
        ("grpc.max_metadata_size", _METADATA_SOFT),
        ("grpc.absolute_max_metadata_size", MOST_METADATA),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        # Beyond the first gRPC cancels new calls by chance, anybody's; calls that were reset before we saw them count as well.
        ("grpc.server.max_pending_requests", _PENDING),
        ("grpc.server.max_pending_requests_hard_limit", 2 * _PENDING),
        # Until a peer acknowledges what streams and metadata it may send, gRPC bounds neither.
        ("grpc.http2.settings_timeout", _SETTINGS_MS),
        ("grpc.so_reuseport", int(values.reuse_port)),
    ]


def _allowance(limits: LimitSettings, rate: float, size: int, streams: int, waits: int) -> Allowance:
    """Return what a caller may do where the settings leave it to these defaults; 0 means no limit everywhere."""
    rate = rate if limits.rate is None else limits.rate
    size = size if limits.bytes_per_second is None else limits.bytes_per_second
    streams = streams if limits.streams_per_caller is None else limits.streams_per_caller
    waits = waits if limits.waits_per_caller is None else limits.waits_per_caller
    calls, size_a_second = _rate(rate, limits.burst), _rate(size, limits.burst_bytes)
    return Allowance(calls=calls, bytes=size_a_second, streams=streams or None, waits=waits or None)


def _rate(per_second: float, burst: int | None) -> RateLimit | None:
    if not per_second:
        return None
    return RateLimit(per_second=per_second, burst=burst or max(1, int(per_second * _BURST_SECONDS)))


def _keepalive(values: GrpcSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.keepalive_time_ms", _ms(values.keepalive_time)),
        ("grpc.keepalive_timeout_ms", _ms(values.keepalive_timeout)),
        # Without it a peer that is frozen while its kernel acknowledges is missed for a minute.
        ("grpc.http2.ping_timeout_ms", _ms(values.ping_timeout)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # Lowered from 5 min, or clients that ping as often as ours are sent away with too_many_pings.
        ("grpc.http2.min_ping_interval_without_data_ms", 5000),
        ("grpc.http2.max_ping_strikes", 2),
    ]


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _reflects(settings: Settings) -> bool:
    wanted = settings.grpc.reflection
    return wanted == "on" or (wanted == "auto" and is_loopback(settings.host))


def _service(module: Any) -> Service:
    """Return the one service that a file of the contract defines."""
    [service] = module.DESCRIPTOR.services_by_name.values()
    return service

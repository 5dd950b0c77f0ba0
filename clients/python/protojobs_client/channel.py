"""Opens a gRPC channel with the settings that every client and worker uses."""

import json
import os
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from protojobs.v1.admin_service_pb2 import DESCRIPTOR as ADMIN
from protojobs.v1.job_service_pb2 import DESCRIPTOR as JOBS
from protojobs.v1.queue_service_pb2 import DESCRIPTOR as QUEUES
from protojobs.v1.schedule_service_pb2 import DESCRIPTOR as SCHEDULES
from protojobs.v1.server_service_pb2 import DESCRIPTOR as SERVER
from protojobs.v1.worker_service_pb2 import DESCRIPTOR as WORKERS

from protojobs_client.authorization import Token, bearer_credentials, bearer_interceptors
from protojobs_client.errors import ClientForkedError
from protojobs_client.options import Options
from protojobs_client.redial import RedialledChannel

# A repeat of these may do something twice, or lose the only answer. (BulkJobs carries a token.)
_NOT_IDEMPOTENT = frozenset({"CreateToken", "TriggerSchedule"})


def open_channel(options: Options, interceptors: Sequence[grpc.aio.ClientInterceptor] = ()) -> grpc.aio.Channel:
    """Open a channel on the running event loop. It connects when it is first used; close it with `close()`.
    Files of certificates and of the token may change: see `protojobs_client.redial`.

    Raises OSError if a certificate or key file cannot be read, UnauthenticatedError if TLS is used and the token file holds no
    token, and ClientForkedError in the child of a process that had opened one.
    """
    if _first_process() != os.getpid():
        raise ClientForkedError("gRPC was in use before the fork: use clients in the children only, or spawn them")
    token = Token(options.token, options.token_file)
    if token and options.uses_tls:
        # Call credentials that fail later look like a server that is away, and would be tried again for ever.
        token.header()
    files = [file for file in (options.ca, options.cert, options.key) if file is not None and options.uses_tls]
    if files or options.token_file is not None:
        return RedialledChannel(lambda: _dial(options, token, interceptors), files=files, token_file=options.token_file)
    return _dial(options, token, interceptors)


def _dial(options: Options, token: Token, interceptors: Sequence[grpc.aio.ClientInterceptor]) -> grpc.aio.Channel:
    arguments = channel_arguments(options)
    if options.uses_tls:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=options.ca.read_bytes() if options.ca else None,
            private_key=options.key.read_bytes() if options.key else None,
            certificate_chain=options.cert.read_bytes() if options.cert else None,
        )
        if token:
            credentials = grpc.composite_channel_credentials(credentials, bearer_credentials(token))
        return grpc.aio.secure_channel(options.target, credentials, options=arguments, interceptors=interceptors)
    bearer = bearer_interceptors(token) if token else []
    return grpc.aio.insecure_channel(options.target, options=arguments, interceptors=[*interceptors, *bearer])


def channel_arguments(options: Options) -> list[tuple[str, int | str]]:
    """Return the arguments of the channel."""
    arguments: list[tuple[str, int | str]] = [
        ("grpc.primary_user_agent", f"protojobs-python/{version('proto-jobs-client')}"),
        ("grpc.service_config", service_config()),
        ("grpc.max_send_message_length", options.max_message_bytes),
        ("grpc.max_receive_message_length", options.max_receive_bytes),
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # gRPC's own defaults find a restarted server only after up to 2 minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 5_000),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.dns_min_time_between_resolutions_ms", 10_000),
    ]
    if options.server_name:
        arguments.append(("grpc.ssl_target_name_override", options.server_name))
    return arguments


@cache
def _first_process() -> int:
    """Return the process that opened the first channel: gRPC's threads live there, and calls of its forks hang."""
    return os.getpid()


@cache
def service_config() -> str:
    """Return the service config: round robin over healthy servers, and retries of idempotent methods (gRFC A6)."""
    services = [service for file in (ADMIN, JOBS, QUEUES, SCHEDULES, SERVER, WORKERS) for service in file.services_by_name.values()]
    return json.dumps(
        {
            "loadBalancingConfig": [{"round_robin": {}}],
            "healthCheckConfig": {"serviceName": ""},
            "methodConfig": [
                {
                    "name": [name for service in services for name in _idempotent(service)],
                    "retryPolicy": {
                        "maxAttempts": 4,
                        "initialBackoff": "0.1s",
                        "maxBackoff": "2s",
                        "backoffMultiplier": 2,
                        "retryableStatusCodes": ["UNAVAILABLE"],
                    },
                }
            ],
            "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
        }
    )


def _idempotent(service: ServiceDescriptor) -> list[dict[str, str]]:
    """Name the methods that may be repeated. Streams resume by their own rules."""
    return [
        {"service": service.full_name, "method": method.name}
        for method in service.methods
        if not method.client_streaming and not method.server_streaming and method.name not in _NOT_IDEMPOTENT
    ]

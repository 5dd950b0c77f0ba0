"""Settings of how callers are served."""

from typing import Literal

from pydantic import Field

from protojobs_service.domain.bounds import MAX_LANES, MAX_QUEUES, MAX_SCHEDULES
from protojobs_service.settings.kinds import BasePath, Section, Words

_MIB = 1024 * 1024


class LimitSettings(Section):
    """Bounds that an operator may set."""

    max_payload_bytes: int = Field(default=_MIB, ge=1024, le=3 * _MIB, description="Largest payload, bytes.")
    max_receive_bytes: int = Field(
        default=4 * _MIB, ge=64 * 1024, le=64 * _MIB, description="Largest message the server reads, bytes."
    )
    max_send_bytes: int = Field(default=16 * _MIB, ge=_MIB, le=64 * _MIB, description="Largest message the server sends, bytes.")
    max_calls: int = Field(
        default=512,
        ge=1,
        le=100_000,
        description="Unary calls at once that do not wait; more are refused as OVERLOADED. Of one caller three quarters.",
    )
    max_call_bytes: int = Field(default=256 * _MIB, ge=_MIB, description="Bytes of all unary requests at once.")
    max_answer_bytes: int = Field(
        default=256 * _MIB,
        ge=_MIB,
        description="Bytes of all answers that callers have not read yet; of one caller's the fourth part.",
    )
    max_streams: int = Field(
        default=2000, ge=1, le=100_000, description="Streams at once, and as many calls that wait; more are refused as OVERLOADED."
    )
    dispatch_window: int = Field(
        default=8000, ge=1000, le=1_000_000, description="Jobs of one DispatchStream without acknowledgement."
    )
    call_timeout: float = Field(default=30.0, ge=1, le=600, description="Seconds of a unary call that brings no deadline.")
    max_queues: int = Field(default=MAX_QUEUES, ge=1, le=100_000, description="Queues in the store.")
    max_kinds: int = Field(default=MAX_LANES, ge=1, le=1_000_000, description="Kinds in the store, counted in each queue.")
    max_schedules: int = Field(default=MAX_SCHEDULES, ge=0, le=1_000_000, description="Schedules in the store.")
    rate: float | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="Calls, and frames of streams, of one caller a second; 0: no limit; unset: 5000, and none for callers without "
        "credentials from this machine.",
    )
    burst: int | None = Field(default=None, ge=1, le=1_000_000, description="Calls that may come at once; unset: those of 2 s.")
    bytes_per_second: int | None = Field(
        default=None,
        ge=0,
        le=1024 * _MIB,
        description="Bytes of one caller's messages a second; 0: no limit; unset: 128 MiB, and none as for rate.",
    )
    burst_bytes: int | None = Field(
        default=None, ge=1, le=4096 * _MIB, description="Bytes that may come at once; unset: those of 2 s."
    )
    streams_per_caller: int | None = Field(
        default=None, ge=0, le=100_000, description="Streams of one caller at once; 0: no limit; unset: 50, and none as for rate."
    )
    waits_per_caller: int | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="Calls of one caller at once that wait (AcquireLeases, WaitJob); 0: no limit; unset: 500, none as for rate.",
    )


class SessionSettings(Section):
    """Worker sessions."""

    ttl: float = Field(
        default=30.0, ge=2, le=600, description="Seconds that leases outlive the last heartbeat, unless a worker asks."
    )
    reconnect_grace: float = Field(default=3.0, ge=0, le=600, description="Seconds that leases outlive a stream that was cut.")
    max_heartbeat: float = Field(
        default=10.0, ge=0.5, le=60, description="Seconds between heartbeats at most; never above ttl / 4."
    )
    stream_age: float = Field(
        default=1800.0, ge=10, le=86_400, description="Seconds until a Lease stream is told to move on (+- 20 %)."
    )


class GrpcSettings(Section):
    """The gRPC transport."""

    keepalive_time: float = Field(default=10.0, ge=1, le=7200, description="Seconds without a frame until the server pings.")
    keepalive_timeout: float = Field(default=5.0, ge=1, le=600, description="Seconds to wait for the answer to a ping.")
    ping_timeout: float = Field(
        default=8.0, ge=1, le=600, description="The same for a peer whose kernel answers but which is frozen."
    )
    max_connection_age: float = Field(default=2700.0, ge=10, description="Seconds until a connection is asked to end (+- 10 %).")
    max_connection_age_grace: float = Field(default=120.0, ge=1, description="Seconds that calls then have to end.")
    max_connection_idle: float = Field(default=900.0, ge=1, description="Seconds until an unused connection ends.")
    max_concurrent_streams: int = Field(default=2000, ge=1, description="Calls and streams per connection.")
    reuse_port: bool = Field(default=False, description="Let several processes serve one port (SO_REUSEPORT).")
    reflection: Literal["auto", "on", "off"] = Field(default="auto", description="Server reflection; auto: on for a loopback host.")


class ConsoleSettings(Section):
    """The console: web pages on the admin port."""

    enabled: bool = Field(default=True, description="Serve the console's pages on the admin port.")
    base_path: BasePath = Field(default="/", description="Path under which the pages are, such as /jobs behind a proxy.")
    allowed_hosts: Words = Field(
        default=(),
        description="Names by which browsers reach the admin port, beside localhost and addresses; apart by spaces, without ports.",
    )


class LogSettings(Section):
    """Logs, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level that is written.")
    format: Literal["auto", "json", "console"] = Field(default="auto", description="auto: console on a terminal, else JSON.")


class AuditSettings(Section):
    """The audit log: what operators and administrators do, and what is refused."""

    retention_days: int = Field(default=400, ge=1, le=36_500, description="Days for which records stay in the store.")
    stdout: Literal["auto", "on", "off"] = Field(
        default="auto", description="Records on standard output too, as JSON lines; auto: where `serve` runs, not `dev`."
    )


class ShutdownSettings(Section):
    """What SIGTERM and SIGINT begin; a second one ends the process at once."""

    delay: float = Field(default=0.0, ge=0, le=120, description="Seconds of serving as NOT_SERVING, for load balancers to notice.")
    grace: float = Field(default=30.0, ge=0, le=3600, description="Seconds for streams and calls to end.")

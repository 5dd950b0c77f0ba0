"""Every knob of the server. The only file that reads the environment.

Values come, first wins, from: the command line, `PROTOJOBS_*` variables (nested with `__`), the YAML file that `--config` or
`PROTOJOBS_CONFIG` names, the defaults here. Spans are seconds unless the name says otherwise.
"""

import ipaddress
import os
import re
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)
from yaml import YAMLError

from protojobs_service.domain.access import EVERY_QUEUE, Grant, Scope
from protojobs_service.domain.bounds import GRANT_QUEUES, MAX_LANES, MAX_QUEUES, MAX_SCHEDULES, Limits

CONFIG_VARIABLE = "PROTOJOBS_CONFIG"
DEFAULT_PORT = 50051

_MIB = 1024 * 1024


class DriverName(StrEnum):
    """Which store."""

    MEMORY = "memory"
    SQLITE = "sqlite"
    POSTGRES = "postgres"
    MYSQL = "mysql"
    KAFKA = "kafka"


class InvalidSettings(Exception):
    """Some value is unknown or out of bounds; the message names each, on a line of its own."""


def _check_identifier(value: str) -> str:
    if not value.isascii() or not (value == "" or value.replace("_", "a").isalnum()) or value[:1].isdigit():
        raise ValueError("must be letters, digits and underscores, and not begin with a digit")
    return value


Identifier = Annotated[str, Field(max_length=32), AfterValidator(_check_identifier)]


def _split(value: Any) -> Any:
    return value.split() if isinstance(value, str) else value


def _check_base_path(value: str) -> str:
    path = value.rstrip("/") or "/"
    if not re.fullmatch(r"/|(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+", path):
        raise ValueError("must be / or segments of letters, digits, - _ and . such as /jobs")
    return path


BasePath = Annotated[str, Field(max_length=128), AfterValidator(_check_base_path)]
"""Without a slash at its end, unless it is the root."""

Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Several in one variable stand apart by white space."""

Dsns = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]
"""Several in one variable stand apart by white space."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SqliteSettings(_Section):
    """The SQLite store."""

    path: Path = Field(default=Path("protojobs.db"), description="Database file; its directory must exist.")


class PostgresSettings(_Section):
    """The PostgreSQL store."""

    dsn: SecretStr | None = Field(
        default=None, description="postgresql://user:password@host:port/database?sslrootcert=FILE; verified beyond this machine."
    )
    # Named so that it does not hide BaseModel.schema.
    schema_name: Identifier = Field(default="protojobs", description="Schema that holds every table.")


class MysqlSettings(_Section):
    """The MariaDB store."""

    dsn: SecretStr | None = Field(
        default=None,
        description="mysql://user:password@host:port/database?ssl_ca=FILE; verified beyond this machine.",
    )


Prefix = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
"""Without a dot: no prefix is the beginning of another one's topics then."""


class KafkaSettings(_Section):
    """The Kafka driver: topics for what waits, and the SQL store that holds everything else."""

    brokers: str | None = Field(default=None, description="host:port of some brokers, apart by commas.")
    side: Literal["sqlite", "postgres", "mysql"] = Field(
        default="sqlite",
        description="The store of all that does not wait in topics; sqlite for one server alone. Set up as if it were driver.",
    )
    prefix: Prefix = Field(default="protojobs", description="Begins the name of every topic: a-z 0-9 and -, at most 40.")
    group: str = Field(default="", max_length=200, description="Consumer group; unset: the prefix and .service.")
    group_protocol: Literal["classic", "consumer"] = Field(
        default="classic",
        description="classic: cooperative-sticky; consumer: that of KIP-848, whose session timeout is the group's.",
    )
    instance: str | None = Field(
        default=None,
        max_length=200,
        description="Static member of the group (classic): a server that restarts within session_timeout keeps its partitions.",
    )
    partitions: int = Field(
        default=4, ge=1, le=1000, description="Of a new topic: as many servers can read it. 1 keeps the order of arrival."
    )
    replication: int = Field(
        default=3, ge=1, le=10, description="Copies of a new topic, on as many brokers. Below 3 jobs can be lost."
    )
    bands: Literal[1, 3, 9] = Field(default=3, description="Topics a queue by priority; never changed while jobs lie in topics.")
    lookahead: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Jobs of a queue that wait in the side store to be leased; the others in topics.",
    )
    compression: Literal["none", "lz4", "zstd", "gzip", "snappy"] = Field(default="none", description="Of records.")
    session_timeout: float = Field(
        default=10.0, ge=1, le=300, description="Seconds without heartbeat until others get a server's partitions (classic)."
    )
    delivery_timeout: float = Field(default=10.0, ge=0.1, le=300, description="Seconds until a dispatch is answered UNAVAILABLE.")
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        default="plaintext", description="Beyond this machine: ssl or sasl_ssl, or store.insecure."
    )
    ca: Path | None = Field(default=None, description="PEM file of the roots of the brokers; unset: those of the system.")
    cert: Path | None = Field(default=None, description="PEM file of the client certificate, with key.")
    key: Path | None = Field(default=None, description="PEM file of its private key; with cert.")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(default="SCRAM-SHA-512", description="With sasl_*.")
    username: str | None = Field(default=None, description="With sasl_*.")
    password: SecretStr | None = Field(default=None, description="With sasl_*.")
    client: dict[str, str] = Field(
        default_factory=dict[str, str], description="Properties of librdkafka that win over ours, as JSON; no passwords."
    )
    dead_letters: bool = Field(
        default=True, description="Append every job that ends FAILED to the topic {prefix}.dead-letter, which keeps it for 30 days."
    )
    adopt: bool = Field(
        default=False, description="Take over topics or a side store of another installation; for one start, never by habit."
    )

    unsafe_topics: bool = Field(
        default=False, description="Serve even where topics can lose jobs (replication, retention, unclean elections); warns then."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together")
        if self.security.startswith("sasl") and (self.username is None or self.password is None):
            raise ValueError("sasl_* needs username and password")
        if secret := [name for name in self.client if name.endswith("password")]:
            raise ValueError(f"client: {secret[0]} has a setting of its own")
        return self

    @property
    def is_exposed(self) -> bool:
        """Tell whether others than this machine could read what passes, or be the broker."""
        hosts = [broker.rpartition(":")[0] or broker for broker in (self.brokers or "").split(",")]
        return self.security.endswith("plaintext") and not all(is_loopback(host.strip()) for host in hosts)


class StoreSettings(_Section):
    """What every store has."""

    insecure: bool = Field(
        default=False, description="Let a DSN say that a database beyond this machine is not verified, or not encrypted."
    )
    table_prefix: Identifier = Field(default="", description="Put before the name of every table.")
    probe_interval: float = Field(
        default=1.0, ge=0.1, le=60, description="Seconds between two questions whether the store answers."
    )
    probe_failures: int = Field(default=3, ge=1, le=100, description="Failed probes in a row until health says NOT_SERVING.")


class TlsSettings(_Section):
    """The encryption of one listener: on as soon as there is a certificate. TLS 1.2 and 1.3; changed files are read again."""

    cert: Path | None = Field(
        default=None, description="PEM file of the certificate chain, with key; admin_tls without it: as tls."
    )
    key: Path | None = Field(default=None, description="PEM file of its private key, not encrypted; with cert.")
    client_ca: Path | None = Field(default=None, description="PEM file of the roots of client certificates; with client_auth.")
    # gRPC's reloadable credentials cannot ask for a certificate and go on without one.
    client_auth: Literal["none", "required"] = Field(
        default="none", description="required: a connection must show a certificate that client_ca has signed."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together")
        if (self.client_ca is None) != (self.client_auth == "none"):
            raise ValueError("client_ca and client_auth=required belong together")
        if self.client_ca is not None and self.cert is None:
            raise ValueError("client_ca needs cert and key")
        return self

    @property
    def enabled(self) -> bool:
        """Tell whether the listener is encrypted."""
        return self.cert is not None


def _check_glob(value: str) -> str:
    if not GRANT_QUEUES.match(value):
        raise ValueError("must be 1 to 128 of A-Z a-z 0-9 . _ - * ?")
    return value


QueueGlob = Annotated[str, AfterValidator(_check_glob)]
"""A queue's name in which `*` stands for any characters and `?` for one."""


class GrantSettings(_Section):
    """A scope on some queues."""

    scope: Scope = Field(description="producer, worker, observer, operator or admin.")
    queues: QueueGlob = Field(default=EVERY_QUEUE, description="Glob of queue names.")

    @property
    def grant(self) -> Grant:
        """Return it."""
        return Grant(self.scope, self.queues)


class ClaimGrantSettings(GrantSettings):
    """A grant of all tokens in which a claim has such a value."""

    claim: str = Field(min_length=1, max_length=128, description="A claim whose value is a text or a list of texts.")
    value: str = Field(min_length=1, max_length=512, description="Glob of its value.")


class OidcSettings(_Section):
    """One identity provider whose tokens are taken."""

    issuer: str = Field(min_length=1, max_length=512, description="Exactly what its tokens have as iss.")
    audience: str = Field(min_length=1, max_length=512, description="What its tokens must have among their aud.")
    jwks_url: str | None = Field(default=None, description="Where its keys are: https, or http on loopback.")
    jwks_file: Path | None = Field(default=None, description="File of its keys, instead of jwks_url.")
    ca_file: Path | None = Field(default=None, description="PEM file of the roots of jwks_url; unset: the system's.")
    token_file: Path | None = Field(default=None, description="File of the bearer token that jwks_url is read with.")
    timeout: float = Field(default=5.0, ge=0.1, le=9, description="Seconds to wait for an answer of jwks_url.")
    algorithms: tuple[Literal["RS256", "ES256", "EdDSA"], ...] = Field(
        default=("RS256", "ES256", "EdDSA"), min_length=1, description="Signatures that are taken."
    )
    grants: tuple[ClaimGrantSettings, ...] = Field(default=(), max_length=1000, description="What its tokens allow.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.jwks_url is None) == (self.jwks_file is None):
            raise ValueError("needs one of jwks_url and jwks_file")
        if self.jwks_url is not None:
            parts = urlsplit(self.jwks_url)
            if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
                raise ValueError("jwks_url must be https, or http on loopback: whoever can change the answer can make tokens")
        return self


class MtlsSettings(_Section):
    """Certificates that let their owners in."""

    uri: str | None = Field(default=None, min_length=1, max_length=512, description="Glob of a URI in the certificate (SPIFFE ID).")
    host: str | None = Field(
        default=None, min_length=1, max_length=512, description="Glob of a DNS name in it, of certificates without a URI."
    )
    name: str = Field(default="", max_length=128, description="What people read; empty: the name in the certificate.")
    grants: tuple[GrantSettings, ...] = Field(default=(), max_length=100, description="What they allow.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.uri is None) == (self.host is None):
            raise ValueError("needs one of uri and host")
        return self


class AuthSettings(_Section):
    """Who may call."""

    mode: Literal["auto", "none", "required"] = Field(
        default="auto",
        description="required: every call brings credentials; none: everybody may do everything; auto: none on loopback or with "
        "insecure, else required.",
    )
    oidc: tuple[OidcSettings, ...] = Field(
        default=(), max_length=100, description="Identity providers, Kubernetes too: a list (JSON in the environment)."
    )
    mtls: tuple[MtlsSettings, ...] = Field(
        default=(), max_length=1000, description="Client certificates: a list; the first entry that fits decides."
    )


class LimitSettings(_Section):
    """Bounds that an operator may set."""

    max_payload_bytes: int = Field(default=_MIB, ge=1024, le=3 * _MIB, description="Largest payload, bytes.")
    max_receive_bytes: int = Field(
        default=4 * _MIB, ge=64 * 1024, le=64 * _MIB, description="Largest message the server reads, bytes."
    )
    max_send_bytes: int = Field(default=16 * _MIB, ge=_MIB, le=64 * _MIB, description="Largest message the server sends, bytes.")
    max_calls: int = Field(default=512, ge=1, le=100_000, description="Unary calls at once; more are refused as OVERLOADED.")
    max_call_bytes: int = Field(default=256 * _MIB, ge=_MIB, description="Bytes of all unary requests at once.")
    max_answer_bytes: int = Field(
        default=256 * _MIB,
        ge=_MIB,
        description="Bytes of all answers that callers have not read yet; of one caller's the fourth part.",
    )
    max_streams: int = Field(default=2000, ge=1, le=100_000, description="Streams at once; more are refused as OVERLOADED.")
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


class SessionSettings(_Section):
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


class GrpcSettings(_Section):
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


class ConsoleSettings(_Section):
    """The console: web pages on the admin port."""

    enabled: bool = Field(default=True, description="Serve the console's pages on the admin port.")
    base_path: BasePath = Field(default="/", description="Path under which the pages are, such as /jobs behind a proxy.")
    allowed_hosts: Words = Field(
        default=(),
        description="Names by which browsers reach the admin port, beside localhost and addresses; apart by spaces, without ports.",
    )


class LogSettings(_Section):
    """Logs, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level that is written.")
    format: Literal["auto", "json", "console"] = Field(default="auto", description="auto: console on a terminal, else JSON.")


class AuditSettings(_Section):
    """The audit log: what operators and administrators do, and what is refused."""

    retention_days: int = Field(default=400, ge=1, le=36_500, description="Days for which records stay in the store.")
    stdout: Literal["auto", "on", "off"] = Field(
        default="auto", description="Records on standard output too, as JSON lines; auto: where `serve` runs, not `dev`."
    )


class ShutdownSettings(_Section):
    """What SIGTERM and SIGINT begin; a second one ends the process at once."""

    delay: float = Field(default=0.0, ge=0, le=120, description="Seconds of serving as NOT_SERVING, for load balancers to notice.")
    grace: float = Field(default=30.0, ge=0, le=3600, description="Seconds for streams and calls to end.")


class Settings(BaseSettings):
    """The server's settings."""

    model_config = SettingsConfigDict(
        env_prefix="PROTOJOBS_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
    )

    driver: DriverName = Field(default=DriverName.SQLITE, description="Store: sqlite, postgres, mysql (MariaDB), kafka or memory.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=DEFAULT_PORT, ge=0, le=65_535, description="Port of gRPC; 0 picks a free one.")
    admin_host: str | None = Field(default=None, description="Address of the admin port; unset: the same as host.")
    admin_port: int = Field(default=8080, ge=0, le=65_535, description="Port of HTTP: probes, metrics, JSON, console; 0 picks one.")
    server_id: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        max_length=128,
        description="Name of this server, for logs.",
    )
    insecure: bool = Field(default=False, description="Listen beyond loopback although nothing is encrypted or authenticated.")
    tls: TlsSettings = Field(default=TlsSettings(), description="Encryption of the gRPC listener.")
    admin_tls: TlsSettings = Field(default=TlsSettings(), description="Encryption of probes and metrics; unset: that of tls.")
    outbox_dsn: Dsns = Field(
        default=(),
        description="Databases whose protojobs_outbox this server empties, apart by spaces: postgresql://, mysql://, sqlite:///FILE.",
    )
    sqlite: SqliteSettings = SqliteSettings()
    postgres: PostgresSettings = PostgresSettings()
    mysql: MysqlSettings = MysqlSettings()
    kafka: KafkaSettings = KafkaSettings()
    store: StoreSettings = StoreSettings()
    auth: AuthSettings = AuthSettings()
    limits: LimitSettings = LimitSettings()
    session: SessionSettings = SessionSettings()
    grpc: GrpcSettings = GrpcSettings()
    console: ConsoleSettings = ConsoleSettings()
    log: LogSettings = LogSettings()
    audit: AuditSettings = AuditSettings()
    shutdown: ShutdownSettings = ShutdownSettings()

    @property
    def store_name(self) -> DriverName:
        """Return the store that holds the tables: of Kafka its side store."""
        return DriverName(self.kafka.side) if self.driver is DriverName.KAFKA else self.driver

    @property
    def bounds(self) -> Limits:
        """Return the bounds that clients are told."""
        return Limits(
            max_payload_bytes=self.limits.max_payload_bytes,
            max_receive_bytes=self.limits.max_receive_bytes,
            max_send_bytes=self.limits.max_send_bytes,
            session_ttl=timedelta(seconds=self.session.ttl),
            reconnect_grace=timedelta(seconds=self.session.reconnect_grace),
        )

    @property
    def listeners(self) -> "tuple[Listener, ...]":
        """Return where the server listens; no rule about listeners knows how many there are."""
        admin_tls, admin_tls_name = (self.admin_tls, "admin_tls") if self.admin_tls.enabled else (self.tls, "tls")
        admin_host, admin_host_name = (self.admin_host, "admin_host") if self.admin_host else (self.host, "host")
        return (
            Listener("api", self.host, self.port, self.tls, "host", "tls"),
            Listener("admin", admin_host, self.admin_port, admin_tls, admin_host_name, admin_tls_name),
        )

    def listener(self, name: str) -> "Listener":
        """Return the listener of that name."""
        return next(each for each in self.listeners if each.name == name)

    @property
    def is_loopback(self) -> bool:
        """Tell whether only this machine can reach the server."""
        return all(is_loopback(each.host) for each in self.listeners)

    @property
    def asks_for_credentials(self) -> bool:
        """Tell whether callers must say who they are."""
        if self.auth.mode == "auto":
            return not (self.is_loopback or self.insecure)
        return self.auth.mode == "required"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 # a .env file is for shells
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 # secrets come by the environment
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, file."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)


class _FileSettings(Settings):
    """Settings of a file alone."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 # the other store may be the one of the environment
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the file only."""
        return init_settings, YamlConfigSettingsSource(settings_cls)


class Listener(NamedTuple):
    """One address to listen on. host_setting and tls_setting name the settings that decided, for errors."""

    name: str
    host: str
    port: int
    tls: TlsSettings
    host_setting: str
    tls_setting: str

    @property
    def is_exposed(self) -> bool:
        """Tell whether others than this machine can read what passes."""
        return not self.tls.enabled and not is_loopback(self.host)


class OtelSettings(BaseSettings):
    """Which exporters OpenTelemetry gets. Its own variables alone, `OTEL_*`: the SDK reads all others itself, where they are used.

    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
    """

    model_config = SettingsConfigDict(env_prefix="OTEL_", env_ignore_empty=True, extra="ignore", frozen=True)

    sdk_disabled: str = "false"  # not bool: only "true" disables, and nothing else is an error
    traces_exporter: str | None = None
    metrics_exporter: str | None = None
    exporter_otlp_endpoint: str | None = None
    exporter_otlp_traces_endpoint: str | None = None
    exporter_otlp_metrics_endpoint: str | None = None
    exporter_otlp_protocol: str = "grpc"
    exporter_otlp_traces_protocol: str | None = None
    exporter_otlp_metrics_protocol: str | None = None

    @property
    def span_exporters(self) -> list[str]:
        """Return the entry points of the exporters of spans. Raises InvalidSettings for a protocol that there is not."""
        endpoint = self.exporter_otlp_traces_endpoint or self.exporter_otlp_endpoint
        return self._names(self.traces_exporter, endpoint, self.exporter_otlp_traces_protocol)

    @property
    def metric_exporters(self) -> list[str]:
        """Return the entry points of the exporters of metrics; Prometheus is always there. Raises InvalidSettings."""
        endpoint = self.exporter_otlp_metrics_endpoint or self.exporter_otlp_endpoint
        names = self._names(self.metrics_exporter, endpoint, self.exporter_otlp_metrics_protocol)
        return [name for name in names if name != "prometheus"]

    def _names(self, wanted: str | None, endpoint: str | None, protocol: str | None) -> list[str]:
        if self.sdk_disabled.strip().lower() == "true":
            return []
        # The specification's default is otlp; without an endpoint it would dial a collector that nobody has promised.
        names = [name.strip() for name in (wanted or ("otlp" if endpoint else "none")).split(",")]
        return [self._otlp(protocol) if name == "otlp" else name for name in names if name not in ("", "none")]

    def _otlp(self, protocol: str | None) -> str:
        match (protocol or self.exporter_otlp_protocol).strip():
            case "grpc":
                return "otlp_proto_grpc"
            case "http/protobuf":
                return "otlp_proto_http"
            case other:
                raise InvalidSettings(f"OTEL_EXPORTER_OTLP_PROTOCOL: {other!r} is neither grpc nor http/protobuf")


class Setting(NamedTuple):
    """One value in force, its secret masked, and where it came from: environment, file or default."""

    name: str
    value: Any
    source: str
    meaning: str


def load(config: Path | None = None, **overrides: Any) -> Settings:
    """Return the settings in force. `overrides` win; None among them means unset. Raises InvalidSettings."""
    given = {name: value for name, value in overrides.items() if value is not None}
    return _made(lambda: _configured(config)(**given))


def load_file(config: Path) -> Settings:
    """Return what a file alone says, whatever the environment holds: for commands with two stores. Raises InvalidSettings."""
    return _made(_configured(config, _FileSettings))


def _made(make: Callable[[], Settings]) -> Settings:
    try:
        return make()
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()]
        raise InvalidSettings("\n".join(lines)) from None
    except (SettingsError, YAMLError) as error:
        raise InvalidSettings(str(error)) from None


def explain(config: Path | None = None) -> list[Setting]:
    """Return every setting in force. Raises InvalidSettings."""
    settings = load(config)
    configured = type(settings)
    environment = EnvSettingsSource(configured)()
    file = YamlConfigSettingsSource(configured)()
    return list(_explain("", settings, environment, file))


def is_loopback(host: str) -> bool:
    """Tell whether a host can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _configured(config: Path | None, base: type[Settings] = Settings) -> type[Settings]:
    """Return the settings class that reads this file, or the one that the environment names, or none."""
    path = config or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if path is None:
        return base
    if not path.is_file():
        raise InvalidSettings(f"{path}: no such file")
    return type("Settings", (base,), {"model_config": SettingsConfigDict(yaml_file=path), "__module__": __name__})


def _explain(prefix: str, section: BaseModel, environment: dict[str, Any], file: dict[str, Any]) -> Iterator[Setting]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _explain(f"{prefix}{name}.", value, _section(environment, name), _section(file, name))
        else:
            source = "environment" if name in environment else "file" if name in file else "default"
            yield Setting(f"{prefix}{name}", _shown(value), source, field.description or "")


def _section(values: dict[str, Any], name: str) -> dict[str, Any]:
    section: dict[str, Any] | None = values.get(name)
    return section or {}


def _shown(value: Any) -> Any:
    if isinstance(value, tuple):
        return " ".join(str(each) for each in cast("tuple[object, ...]", value))
    return str(value) if isinstance(value, Path | SecretStr | StrEnum) else value

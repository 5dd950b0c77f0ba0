"""All settings of the server, and the addresses that they come to."""

import os
import socket
from datetime import timedelta
from typing import Any, NamedTuple, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from protojobs_service.domain.bounds import Limits
from protojobs_service.settings.kinds import Dsns, is_loopback
from protojobs_service.settings.security import AuthSettings, TlsSettings
from protojobs_service.settings.serving import (
    AuditSettings,
    ConsoleSettings,
    GrpcSettings,
    LimitSettings,
    LogSettings,
    SessionSettings,
    ShutdownSettings,
)
from protojobs_service.settings.stores import (
    LONGEST_INSTANCE,
    DriverName,
    KafkaSettings,
    MysqlSettings,
    PostgresSettings,
    SqliteSettings,
    StoreSettings,
)

DEFAULT_PORT = 50051
_MOST_PORT = 65_535
_LONGEST_ID = 128


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
    scaler_host: str | None = Field(default=None, description="Address of KEDA's scaler; unset: the same as host.")
    scaler_port: int | None = Field(
        default=None, ge=0, le=65_535, description="Port of KEDA's external scaler, 6000 by custom; 0 picks one; unset: no scaler."
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes of this server behind one port, each with an admin port of its own, from admin_port on; not with "
        "sqlite or memory.",
    )
    server_id: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        max_length=_LONGEST_ID,
        description="Name of this server, for logs.",
    )
    insecure: bool = Field(default=False, description="Listen beyond loopback although nothing is encrypted or authenticated.")
    tls: TlsSettings = Field(default=TlsSettings(), description="Encryption of the gRPC listener.")
    admin_tls: TlsSettings = Field(default=TlsSettings(), description="Encryption of probes and metrics; unset: that of tls.")
    scaler_tls: TlsSettings = Field(default=TlsSettings(), description="Encryption of KEDA's scaler; unset: that of tls.")
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

    @model_validator(mode="after")
    def _check_processes(self) -> Self:
        if self.processes > 1 and (why := self._why_one_process()):
            raise PydanticCustomError("processes", "processes: {why}", {"why": why})
        return self

    def _why_one_process(self) -> str:
        """Return what stands against several processes; empty where nothing does."""
        if self.store_name in (DriverName.SQLITE, DriverName.MEMORY):
            setting = "kafka.side" if self.driver is DriverName.KAFKA else "driver"
            return (
                f"{setting} {self.store_name} belongs to one process; more than one need postgres, mysql, or kafka with such a side"
            )
        ending = len(f"-{self.processes}")
        names = (("server_id", self.server_id, _LONGEST_ID), ("kafka.instance", self.kafka.instance or "", LONGEST_INSTANCE))
        for setting, name, most in names:
            if len(name) > most - ending:
                return f"{setting} has no room for their numbers: at most {most - ending} characters"
        last = self.admin_port + self.processes - 1
        if self.admin_port == 0:
            return ""
        if last > _MOST_PORT:
            return f"each has an admin port of its own, and the last one would be {last}"
        ports = {"port": self.port, "scaler_port": self.scaler_port}
        taken = [name for name, port in ports.items() if port is not None and self.admin_port <= port <= last]
        return f"{taken[0]} is one of their admin ports, {self.admin_port} to {last}" if taken else ""

    def of_process(self, number: int, *, port: int, scaler_port: int | None) -> dict[str, Any]:
        """Return what the n-th process, from 1, has instead: a name and an admin port of its own, and ports that all share."""
        own: dict[str, Any] = {
            "processes": 1,
            "server_id": f"{self.server_id}-{number}",
            "port": port,
            "admin_port": self.admin_port and self.admin_port + number - 1,
            "scaler_port": scaler_port,
            "grpc": {"reuse_port": True},
        }
        if self.kafka.instance is not None:
            own["kafka"] = {"instance": f"{self.kafka.instance}-{number}"}
        return own

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
        api = Listener("api", self.host, self.port, self.tls, "host", "tls")
        admin = self._beside(api, "admin", self.admin_host, self.admin_port, self.admin_tls)
        if self.scaler_port is None:
            return (api, admin)
        return (api, admin, self._beside(api, "scaler", self.scaler_host, self.scaler_port, self.scaler_tls))

    @staticmethod
    def _beside(api: "Listener", name: str, host: str | None, port: int, tls: TlsSettings) -> "Listener":
        """Return a listener that is where and as encrypted as the one of the API, but for what its own settings say."""
        host, host_setting = (host, f"{name}_host") if host else (api.host, api.host_setting)
        tls, tls_setting = (tls, f"{name}_tls") if tls.enabled else (api.tls, api.tls_setting)
        return Listener(name, host, port, tls, host_setting, tls_setting)

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


class FileSettings(Settings):
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

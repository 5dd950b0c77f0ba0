"""Settings of the stores."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from protojobs_service.settings.kinds import Identifier, Section, is_loopback


class DriverName(StrEnum):
    """Which store."""

    MEMORY = "memory"
    SQLITE = "sqlite"
    POSTGRES = "postgres"
    MYSQL = "mysql"
    KAFKA = "kafka"


class SqliteSettings(Section):
    """The SQLite store."""

    path: Path = Field(default=Path("protojobs.db"), description="Database file; its directory must exist.")


class PostgresSettings(Section):
    """The PostgreSQL store."""

    dsn: SecretStr | None = Field(
        default=None, description="postgresql://user:password@host:port/database?sslrootcert=FILE; verified beyond this machine."
    )
    # Named so that it does not hide BaseModel.schema.
    schema_name: Identifier = Field(default="protojobs", description="Schema that holds every table.")


class MysqlSettings(Section):
    """The MariaDB store."""

    dsn: SecretStr | None = Field(
        default=None,
        description="mysql://user:password@host:port/database?ssl_ca=FILE; verified beyond this machine.",
    )


LONGEST_INSTANCE = 200

Prefix = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
"""Without a dot: no prefix is the beginning of another one's topics then."""


class KafkaSettings(Section):
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
        max_length=LONGEST_INSTANCE,
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


class StoreSettings(Section):
    """What every store has."""

    insecure: bool = Field(
        default=False, description="Let a DSN say that a database beyond this machine is not verified, or not encrypted."
    )
    table_prefix: Identifier = Field(default="", description="Put before the name of every table.")
    probe_interval: float = Field(
        default=1.0, ge=0.1, le=60, description="Seconds between two questions whether the store answers."
    )
    probe_failures: int = Field(default=3, ge=1, le=100, description="Failed probes in a row until health says NOT_SERVING.")

"""How to reach Kafka, and how jobs are laid out there: what the settings say, in the words of librdkafka."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from confluent_kafka import KafkaError, KafkaException, Producer

from protojobs_service.domain.bounds import MAX_PRIORITY

MAX_RECORD_BYTES = 4 * 1024 * 1024
"""What a topic takes: the largest job that settings may allow (3 MiB), its headers and its frame."""
_HEARTBEAT_MS = 1000
"""A member learns by its next heartbeat that the group has missed another one: so much later it has that one's partitions."""

Value = str | int | float | bool
OnError = Callable[[KafkaError], None]
Property = Value | OnError


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One installation on one cluster.

    prefix: of every topic; [a-z0-9-]{1,40}. bands: 1, 3 or 9 topics a queue, by priority. lookahead: jobs of a queue that wait in
    the side store, ready to be leased. reach_s: how long a start waits for a broker. dead_letters: jobs that fail for good are
    appended to the dead-letter topic. security and overrides: properties of librdkafka, the latter last. on_error: hears what
    clients say beside their answers, when they are polled.
    """

    brokers: str
    prefix: str = "protojobs"
    group: str = ""
    protocol: Literal["classic", "consumer"] = "classic"
    instance: str | None = None
    partitions: int = 4
    replication: int = 3
    bands: int = 3
    lookahead: int = 1000
    compression: str = "none"
    session_timeout_s: float = 10.0
    delivery_timeout_s: float = 10.0
    reach_s: float = 10.0
    dead_letters: bool = True
    security: Mapping[str, Value] = field(default_factory=dict[str, Value])
    overrides: Mapping[str, Value] = field(default_factory=dict[str, Value])
    on_error: OnError | None = None

    @property
    def group_id(self) -> str:
        """Return the consumer group of the installation."""
        return self.group or f"{self.prefix}.service"

    @property
    def min_insync(self) -> int:
        """Return how many brokers must have a record before it is acknowledged: all but one, of three and more two."""
        return max(1, min(2, self.replication - 1))

    def band_of(self, priority: int) -> int:
        """Return the highest priority of the band that a priority belongs to."""
        width = MAX_PRIORITY // self.bands
        return -(-priority // width) * width

    def rank_of(self, band: int) -> int:
        """Return 1 for the lowest band, 2 for the next."""
        return band * self.bands // MAX_PRIORITY

    def common(self) -> dict[str, Property]:
        """Return what producer, consumer and admin client share.

        Reconnects are quick, because callers wait; the defaults of librdkafka go up to 10 s.
        """
        return {
            "bootstrap.servers": self.brokers,
            "client.id": "protojobs",
            "log_level": 3,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,
            "socket.nagle.disable": True,
            **({"error_cb": self.on_error} if self.on_error is not None else {}),
            **self.security,
        }

    def producer(self) -> dict[str, Property]:
        """Return the properties of the producer: idempotent, every in-sync replica, no waiting for more records."""
        return {
            **self.common(),
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 0.5,
            "batch.size": 1024 * 1024,
            "message.max.bytes": MAX_RECORD_BYTES,
            "compression.type": self.compression,
            "delivery.timeout.ms": round(self.delivery_timeout_s * 1000),
            "queue.buffering.max.messages": 200_000,
            "queue.buffering.max.kbytes": 256 * 1024,
            **self.overrides,
        }

    def consumer(self) -> dict[str, Property]:
        """Return the properties of the consumer: nothing is committed but by us, nothing is skipped for want of an offset."""
        timeout = round(self.session_timeout_s * 1000)
        classic: dict[str, Value] = {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": timeout,
            "heartbeat.interval.ms": min(timeout // 3, _HEARTBEAT_MS),
            **({"group.instance.id": self.instance} if self.instance else {}),
        }
        return {
            **self.common(),
            "group.id": self.group_id,
            "group.protocol": self.protocol,
            **(classic if self.protocol == "classic" else {}),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "fetch.min.bytes": 1,
            "fetch.wait.max.ms": 100,
            "fetch.queue.backoff.ms": 5,
            "fetch.message.max.bytes": MAX_RECORD_BYTES,
            "queued.min.messages": 1000,
            "queued.max.messages.kbytes": 16 * 1024,
            "topic.metadata.refresh.interval.ms": 30_000,
            **self.overrides,
        }

    def admin(self) -> dict[str, Property]:
        """Return the properties of the admin client."""
        return {**self.common(), **self.overrides}

    def find_complaint(self) -> str | None:
        """Return what librdkafka has against security and overrides: a name that it does not know, a file that is not there."""
        try:
            Producer({"log_level": 0, **self.security, **self.overrides})  # of no broker, and gone at once
        except KafkaException as error:
            found = error.args[0]
            return str(found.str()) if isinstance(found, KafkaError) else "librdkafka refuses them"
        return None

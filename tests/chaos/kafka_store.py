"""Kafka with PostgreSQL beside it, as a store of the stand."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.brokers.cluster import KafkaCluster
from tests.chaos.stores import Counts, PostgresStore


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaStore:
    """Brokers that hold what waits, and a database that holds the rest. Once nothing waits, the database has every job."""

    brokers: KafkaCluster
    side: PostgresStore
    name: str = "kafka"

    def env(self) -> Mapping[str, str]:
        return {
            **self.side.env(),
            "PROTOJOBS_DRIVER": "kafka",
            "PROTOJOBS_KAFKA__BROKERS": self.brokers.servers,
            "PROTOJOBS_KAFKA__SIDE": "postgres",
            "PROTOJOBS_KAFKA__REPLICATION": str(len(self.brokers.brokers)),
        }

    def recount(self) -> Counts:
        return self.side.recount()

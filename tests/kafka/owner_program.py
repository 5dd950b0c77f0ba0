"""A server's driver as a process that may be killed: it joins the group, and runs nothing."""

import asyncio
import sys
from random import Random

from protojobs_service.drivers.kafka.driver import KafkaDriver
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.sql.driver import SqlDriver
from protojobs_service.drivers.sql.postgres import PostgresStore
from protojobs_service.drivers.sql.store import Options as SqlOptions

from tests.contract.backends import FakeRoom, NamedFollowUps, fingerprint, unique_of


def postgres_side(dsn: str, replica: str) -> SqlDriver:
    """Return a side store in PostgreSQL, not opened."""
    return SqlDriver(
        PostgresStore(SqlOptions(url=dsn)), fingerprint=fingerprint, unique_of=unique_of, rng=Random(1), replica=replica
    )


async def main(dsn: str, brokers: str, prefix: str) -> None:
    """Own partitions until killed. Says `open` once it has joined."""
    options = Options(brokers=brokers, prefix=prefix, replication=1, partitions=2, bands=1, session_timeout_s=1.5)
    driver = KafkaDriver(postgres_side(dsn, "killed"), options)
    await driver.open(FakeRoom(), NamedFollowUps())
    print("open", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

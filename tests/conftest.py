"""Fixtures every test may use, and the markers that follow from them."""

import logging
import os
import secrets
import signal
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

import pytest

from tests.brokers.cluster import KafkaCluster, running_brokers
from tests.canaries import canaries_watched, no_canary_gets_out, plant
from tests.mariadb import MariaServer, running_server
from tests.postgres import Cluster, running_cluster
from tests.private_server import ServerUnavailable
from tests.schema import prepare_postgres

ServerT = TypeVar("ServerT", Cluster, MariaServer, KafkaCluster)

__all__ = ["canaries_watched", "no_canary_gets_out"]  # fixtures of every test

# `tests/run` collects skips that begin so: the machine, not the design, kept them from running.
NOT_ON_THIS_MACHINE = "not on this machine: "
# And those that begin so: what nobody can install, as the right to mount, or a history that a shallow clone does not have.
NOT_GIVEN_HERE = "not given here: "

# Servers of tests are on this machine, and a proxy between would change what they are sent.
for _name in ("no_proxy", "NO_PROXY"):
    os.environ[_name] = ",".join(filter(None, (os.environ.get(_name), "127.0.0.1", "localhost")))


# A shell begins what runs in its background with interrupts ignored, and so would every program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that asks for a database server, so that `make check` can leave it out."""
    for item in items:
        for fixture, marker in (
            ("postgres_cluster", pytest.mark.postgres),
            ("durable_cluster", pytest.mark.postgres),
            ("mariadb_server", pytest.mark.mariadb),
            ("durable_mariadb", pytest.mark.mariadb),
            ("kafka_broker", pytest.mark.kafka),
            ("own_kafka", pytest.mark.kafka),
            ("three_kafkas", pytest.mark.kafka),
            ("secure_kafka", pytest.mark.kafka),
        ):
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show, with a test that failed, what its Kafka brokers had to say: their logs go with them."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, KafkaCluster):
                report.sections.append(("logs of Kafka", value.log_tail()))
    return report


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """Give the process its loggers back after the test: commands that run within it set them to their own needs."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """Run a PostgreSQL cluster for the session, in memory; under xdist, one for each process."""
    yield from started("PostgreSQL", running_cluster(in_memory=True))


@pytest.fixture
def postgres_dsn(postgres_cluster: Cluster) -> Iterator[str]:
    """Give the test a fresh, empty database and drop it afterwards."""
    yield from _fresh_database(postgres_cluster, postgres_cluster.create_database())


@pytest.fixture(scope="session")
def postgres_template(postgres_cluster: Cluster) -> str:
    """Make a database that is ready for a store and return its name: to copy it is quicker than to make one for each test."""
    name = postgres_cluster.create_database()
    prepare_postgres(postgres_cluster.dsn(name))
    return name


@pytest.fixture
def postgres_ready_dsn(postgres_cluster: Cluster, postgres_template: str) -> Iterator[str]:
    """Give the test a fresh database with the newest schema and nothing in it, and drop it afterwards."""
    yield from _fresh_database(postgres_cluster, postgres_cluster.create_database(template=postgres_template))


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaServer]:
    """Run a MariaDB for the session, in memory; under xdist, one for each process."""
    yield from started("MariaDB", running_server(in_memory=True))


@pytest.fixture
def mariadb_dsn(mariadb_server: MariaServer) -> Iterator[str]:
    """Give the test a fresh, empty database and drop it afterwards."""
    yield from _fresh_database(mariadb_server, mariadb_server.create_database())


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[KafkaCluster]:
    """Run one Kafka broker for the session; under xdist, one for each process. Tests may not end or freeze it."""
    yield from started("Kafka", running_brokers())


@pytest.fixture
def kafka_prefix(kafka_broker: KafkaCluster) -> Iterator[str]:
    """Give the test a beginning for the names of its topics and groups, and drop those topics afterwards."""
    prefix = f"t{secrets.token_hex(6)}."
    try:
        yield prefix
    finally:
        kafka_broker.drop_topics(prefix)


@pytest.fixture
def own_kafka() -> Iterator[KafkaCluster]:
    """Give the test a Kafka broker that it may end, freeze and start again."""
    yield from started("Kafka", running_brokers())


@pytest.fixture
def three_kafkas() -> Iterator[KafkaCluster]:
    """Give the test three Kafka brokers, of which it may end one at a time. They take a third of a test's usual time."""
    yield from started("Kafka", running_brokers(3))


@pytest.fixture(scope="session")
def secure_kafka() -> Iterator[KafkaCluster]:
    """Run a Kafka broker for the session that also listens for TLS and a password."""
    yield from started("Kafka", running_brokers(secure=True))


def started(name: str, running: AbstractContextManager[ServerT]) -> Iterator[ServerT]:
    """Yield a server that runs; skip the test where this machine cannot run it."""
    try:
        with running as server:
            plant(server.password)
            yield server
    except ServerUnavailable as error:
        pytest.skip(f"{NOT_ON_THIS_MACHINE}{name}: {error}")


def _fresh_database(server: Cluster | MariaServer, name: str) -> Iterator[str]:
    try:
        yield server.dsn(name)
    finally:
        server.drop_database(name)

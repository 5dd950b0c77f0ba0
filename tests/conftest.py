"""Fixtures every test may use, and the markers that follow from them."""

from collections.abc import Iterator

import pytest

from tests.mariadb import MariaServer, running_server
from tests.postgres import Cluster, running_cluster
from tests.private_server import ServerUnavailable

# `tests/run` collects skips that begin so: the machine, not the design, kept them from running.
NOT_ON_THIS_MACHINE = "not on this machine: "


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that asks for a database server, so that `make check` can leave it out."""
    for item in items:
        for fixture, marker in (("postgres_cluster", pytest.mark.postgres), ("mariadb_server", pytest.mark.mariadb)):
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """Run a PostgreSQL cluster for the session; under xdist, one for each process."""
    try:
        with running_cluster() as cluster:
            yield cluster
    except ServerUnavailable as error:
        pytest.skip(f"{NOT_ON_THIS_MACHINE}PostgreSQL: {error}")


@pytest.fixture
def postgres_dsn(postgres_cluster: Cluster) -> Iterator[str]:
    """Give the test a fresh, empty database and drop it afterwards."""
    name = postgres_cluster.create_database()
    try:
        yield postgres_cluster.dsn(name)
    finally:
        postgres_cluster.drop_database(name)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaServer]:
    """Run a MariaDB for the session; under xdist, one for each process."""
    try:
        with running_server() as server:
            yield server
    except ServerUnavailable as error:
        pytest.skip(f"{NOT_ON_THIS_MACHINE}MariaDB: {error}")


@pytest.fixture
def mariadb_dsn(mariadb_server: MariaServer) -> Iterator[str]:
    """Give the test a fresh, empty database and drop it afterwards."""
    name = mariadb_server.create_database()
    try:
        yield mariadb_server.dsn(name)
    finally:
        mariadb_server.drop_database(name)

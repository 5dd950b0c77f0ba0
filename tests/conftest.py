"""Fixtures every test may use, and the markers that follow from them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

import pytest

from tests.canaries import canaries_watched, no_canary_gets_out, plant
from tests.mariadb import MariaServer, running_server
from tests.postgres import Cluster, running_cluster
from tests.private_server import ServerUnavailable

ServerT = TypeVar("ServerT", Cluster, MariaServer)

__all__ = ["canaries_watched", "no_canary_gets_out"]  # fixtures of every test

# `tests/run` collects skips that begin so: the machine, not the design, kept them from running.
NOT_ON_THIS_MACHINE = "not on this machine: "


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that asks for a database server, so that `make check` can leave it out."""
    for item in items:
        for fixture, marker in (
            ("postgres_cluster", pytest.mark.postgres),
            ("durable_cluster", pytest.mark.postgres),
            ("mariadb_server", pytest.mark.mariadb),
            ("durable_mariadb", pytest.mark.mariadb),
        ):
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """Run a PostgreSQL cluster for the session, in memory; under xdist, one for each process."""
    yield from started("PostgreSQL", running_cluster(in_memory=True))


@pytest.fixture
def postgres_dsn(postgres_cluster: Cluster) -> Iterator[str]:
    """Give the test a fresh, empty database and drop it afterwards."""
    yield from _fresh_database(postgres_cluster)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaServer]:
    """Run a MariaDB for the session, in memory; under xdist, one for each process."""
    yield from started("MariaDB", running_server(in_memory=True))


@pytest.fixture
def mariadb_dsn(mariadb_server: MariaServer) -> Iterator[str]:
    """Give the test a fresh, empty database and drop it afterwards."""
    yield from _fresh_database(mariadb_server)


def started(name: str, running: AbstractContextManager[ServerT]) -> Iterator[ServerT]:
    """Yield a server that runs; skip the test where this machine cannot run it."""
    try:
        with running as server:
            plant(server.password)
            yield server
    except ServerUnavailable as error:
        pytest.skip(f"{NOT_ON_THIS_MACHINE}{name}: {error}")


def _fresh_database(server: Cluster | MariaServer) -> Iterator[str]:
    name = server.create_database()
    try:
        yield server.dsn(name)
    finally:
        server.drop_database(name)

"""Fixtures every test may use, and the markers that follow from them."""

from collections.abc import Iterator

import pytest

from tests.postgres import Cluster, PostgresUnavailable, running_cluster

# `tests/run` collects skips that begin so: the machine, not the design, kept them from running.
NOT_ON_THIS_MACHINE = "not on this machine: "


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that asks for PostgreSQL, so that `make check` can leave it out."""
    for item in items:
        if "postgres_cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.postgres)


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """Run a PostgreSQL cluster for the session; under xdist, one for each process."""
    try:
        with running_cluster() as cluster:
            yield cluster
    except PostgresUnavailable as error:
        pytest.skip(f"{NOT_ON_THIS_MACHINE}PostgreSQL: {error}")


@pytest.fixture
def postgres_dsn(postgres_cluster: Cluster) -> Iterator[str]:
    """Give the test a fresh, empty database and drop it afterwards."""
    name = postgres_cluster.create_database()
    try:
        yield postgres_cluster.dsn(name)
    finally:
        postgres_cluster.drop_database(name)

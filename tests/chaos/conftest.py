"""A stand per test, on SQLite or on a PostgreSQL of its own."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from tests.canaries import plant
from tests.chaos.maria_store import MariaStore
from tests.chaos.stand import Stand
from tests.chaos.stores import PostgresStore, SqliteStore, Store
from tests.conftest import NOT_ON_THIS_MACHINE, started
from tests.mariadb import MariaServer, running_server
from tests.postgres import Cluster, running_cluster
from tests.private_server import ServerUnavailable

MakeStand = Callable[..., Stand]


POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)
MARIADB = pytest.param("mariadb", marks=pytest.mark.mariadb)
STORES = ["sqlite", POSTGRES]
"""What `store` is by default; a test may name others with `parametrize(..., indirect=True)`."""


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Give the test each store in turn."""
    if request.param == "sqlite":
        return SqliteStore(path=tmp_path / "jobs.db")
    return cast("Store", request.getfixturevalue(f"{request.param}_store"))


@pytest.fixture(scope="session")
def durable_cluster() -> Iterator[Cluster]:
    """Run a PostgreSQL cluster on the disk for all kill tests: here commits cost what they cost."""
    yield from started("PostgreSQL", running_cluster())


@pytest.fixture(scope="session")
def durable_mariadb() -> Iterator[MariaServer]:
    """Run a MariaDB on the disk for all kill tests."""
    yield from started("MariaDB", running_server())


@pytest.fixture
def postgres_store(durable_cluster: Cluster) -> Iterator[PostgresStore]:
    """Give the test a fresh database."""
    database = durable_cluster.create_database()
    try:
        yield PostgresStore(cluster=durable_cluster, database=database)
    finally:
        durable_cluster.drop_database(database)


@pytest.fixture
def mariadb_store(durable_mariadb: MariaServer) -> Iterator[MariaStore]:
    """Give the test a fresh database."""
    database = durable_mariadb.create_database()
    try:
        yield MariaStore(server=durable_mariadb, database=database)
    finally:
        durable_mariadb.drop_database(database)


@pytest.fixture
def own_postgres() -> Iterator[PostgresStore]:
    """Give the test a cluster that it may stop and start."""
    try:
        with running_cluster() as cluster:
            plant(cluster.password)
            store = PostgresStore(cluster=cluster, database=cluster.create_database())
            try:
                yield store
            finally:
                store.close()
    except ServerUnavailable as error:
        pytest.skip(f"{NOT_ON_THIS_MACHINE}PostgreSQL: {error}")


@pytest_asyncio.fixture
async def make_stand(tmp_path: Path) -> AsyncIterator[MakeStand]:
    """Make stands whose programs end with the test."""
    stands: list[Stand] = []

    def make(store: Store, **options: object) -> Stand:
        directory = tmp_path / f"stand-{len(stands)}"
        directory.mkdir()
        stand = Stand(directory, store, **options)  # type: ignore[arg-type]
        stands.append(stand)
        return stand

    yield make
    for stand in stands:
        await stand.close()


@pytest_asyncio.fixture
async def stand(store: Store, make_stand: MakeStand) -> Stand:
    """A stand on each store in turn."""
    return make_stand(store)

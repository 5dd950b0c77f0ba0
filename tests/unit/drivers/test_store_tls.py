"""Stores over TLS: pools, hot connections, hints, migrations, outboxes and foreign tables verify who answers.

The name 127.1 leads to this machine and is no loopback address by its text: what holds beyond loopback holds for it.
"""

import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.sql import migrate
from protojobs_service.drivers.sql.foreign_rows import foreign_tables
from protojobs_service.drivers.sql.mysql import MysqlStore
from protojobs_service.drivers.sql.outbox import open_outbox
from protojobs_service.drivers.sql.postgres import PostgresStore
from protojobs_service.drivers.sql.store import ClaimGroup, Options, Probe, Store

from tests.certificates import Authority, Files
from tests.conftest import started
from tests.mariadb import MariaServer, running_server
from tests.postgres import Cluster
from tests.postgres_tls import tls_front
from tests.private_server import Account, make_home

pytestmark = pytest.mark.asyncio

NAME, OTHER_NAME = "127.1", "127.0.1"


@dataclass(frozen=True, kw_only=True)
class Database:
    """A database over TLS. dsn: with parameters; plain: its address without TLS."""

    make: Callable[[Options], Store]
    address: str
    plain: str
    ca_parameter: str
    secret: str
    schema: str | None = None
    unverified: Sequence[str]
    in_plain_text: Callable[[], bool]

    def dsn(self, ca: Path | None, host: str = NAME, *more: str) -> str:
        """Return the DSN that trusts these roots."""
        parameters = [*([f"{self.ca_parameter}={ca}"] if ca else []), *more]
        return self.address.replace("HOST", host) + ("?" + "&".join(parameters) if parameters else "")


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Return the authority that signs for the stores."""
    return Authority()


@pytest.fixture(scope="module")
def store_files(authority: Authority) -> Iterator[Files]:
    """Give the files of a store, where its server can read them when it runs as another user."""
    account, home = Account.choose(), make_home("protojobs-tls-", in_memory=False)
    files = Files(home).write(authority.server(NAME), authority)
    for path in (home, files.cert, files.key, files.ca):
        account.own(path)
    yield files
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def tls_mariadb(store_files: Files) -> Iterator[MariaServer]:
    """Run a MariaDB that offers TLS."""
    yield from started(
        "MariaDB", running_server({"ssl-cert": str(store_files.cert), "ssl-key": str(store_files.key)}, in_memory=True)
    )


@pytest.fixture
def on_mariadb(tls_mariadb: MariaServer, mariadb_server: MariaServer) -> Iterator[Database]:
    """Give an empty database of the MariaDB with TLS, and the address of one without."""
    name, without = tls_mariadb.create_database(), mariadb_server.create_database()
    yield Database(
        make=MysqlStore,
        address=tls_mariadb.dsn(name).replace("127.0.0.1", "HOST"),
        plain=mariadb_server.dsn(without).replace("127.0.0.1", NAME),
        ca_parameter="ssl_ca",
        secret=tls_mariadb.password,
        unverified=("ssl_mode=required", "ssl_mode=disabled"),
        # Its user may be held to TLS; PostgreSQL's front counts.
        in_plain_text=lambda: False,
    )
    tls_mariadb.drop_database(name)
    mariadb_server.drop_database(without)


@pytest.fixture
def on_postgres(postgres_cluster: Cluster, store_files: Files) -> Iterator[Database]:
    """Give an empty database of the cluster behind TLS, and the address without."""
    name = postgres_cluster.create_database()
    with tls_front(store_files, postgres_cluster.port) as front:
        yield Database(
            make=PostgresStore,
            address=postgres_cluster.dsn(name).replace(f"127.0.0.1:{postgres_cluster.port}", f"HOST:{front.port}"),
            plain=postgres_cluster.dsn(name).replace("127.0.0.1", NAME),
            ca_parameter="sslrootcert",
            secret=postgres_cluster.password,
            schema="protojobs",
            unverified=("sslmode=require", "sslmode=disable"),
            in_plain_text=lambda: front.plain > 0,
        )
    postgres_cluster.drop_database(name)


@pytest.fixture(
    params=[
        pytest.param("on_postgres", marks=pytest.mark.postgres),
        pytest.param("on_mariadb", marks=pytest.mark.mariadb),
    ]
)
def database(request: pytest.FixtureRequest) -> Database:
    """Give an empty database over TLS."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Database)
    return found


async def _migrate(database: Database, dsn: str) -> None:
    await migrate.upgrade(dsn, schema=database.schema)


async def _serve(database: Database, dsn: str) -> None:
    store = database.make(Options(url=dsn, schema=database.schema))
    try:
        await store.open()
    finally:
        await store.close()


async def _empty_outbox(_: Database, dsn: str) -> None:
    outbox = open_outbox(dsn)
    try:
        await outbox.status()
    finally:
        await outbox.close()


async def _import(_: Database, dsn: str) -> None:
    async with foreign_tables(dsn) as table:
        assert not await table("jobs_of_others", "id").exists()


USES = [_migrate, _serve, _empty_outbox, _import]


@pytest.fixture(params=USES, ids=lambda use: use.__name__)
def use(request: pytest.FixtureRequest) -> Callable[[Database, str], Awaitable[None]]:
    """Return something that connects to a database."""
    found: Callable[[Database, str], Awaitable[None]] = request.param
    return found


async def test_a_store_whose_roots_are_known_serves_everybody_and_nobody_in_plain_text(
    database: Database, store_files: Files
) -> None:
    dsn = database.dsn(store_files.ca)

    await _migrate(database, dsn)
    store = database.make(Options(url=dsn, schema=database.schema))
    await store.open()
    try:
        # A hot connection; nothing waits there.
        assert await store.claim([ClaimGroup([Probe(1, 0, 0)], [1], 0)], 0) == []
    finally:
        await store.close()
    await _import(database, dsn)

    assert not database.in_plain_text()


async def test_the_roots_of_the_system_count_where_the_dsn_names_none(
    database: Database, store_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreUnavailable, match="certificate"):
        await _migrate(database, database.dsn(None))

    monkeypatch.setenv("SSL_CERT_FILE", str(store_files.ca))
    await _migrate(database, database.dsn(None))


async def test_a_store_of_another_authority_is_refused(
    database: Database, use: Callable[[Database, str], Awaitable[None]], tmp_path: Path
) -> None:
    dsn = database.dsn(Files(tmp_path / "foreign").write(None, Authority("another")).ca)

    with pytest.raises(StoreUnavailable, match=r"^the certificate of the store is not trusted") as refused:
        await use(database, dsn)

    assert database.secret not in str(refused.value)


async def test_a_store_of_another_name_is_refused(
    database: Database, use: Callable[[Database, str], Awaitable[None]], store_files: Files
) -> None:
    with pytest.raises(StoreUnavailable, match=r"^the certificate of the store .* is for another name") as refused:
        await use(database, database.dsn(store_files.ca, OTHER_NAME))

    assert database.secret not in str(refused.value)


async def test_a_store_without_tls_is_refused_before_it_gets_a_password(
    database: Database, use: Callable[[Database, str], Awaitable[None]], store_files: Files
) -> None:
    dsn = f"{database.plain}?{database.ca_parameter}={store_files.ca}"

    with pytest.raises(StoreUnavailable, match=r"^the store does not speak TLS$|^the TLS handshake with the store failed$"):
        await use(database, dsn)


async def test_a_dsn_that_says_so_connects_without_verifying(database: Database) -> None:
    for parameter in database.unverified:
        await _serve_schema(database, database.dsn(None, NAME, parameter))


async def _serve_schema(database: Database, dsn: str) -> None:
    await _migrate(database, dsn)
    await _serve(database, dsn)

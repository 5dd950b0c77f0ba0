"""Languages, stores, and what stands for a whole session."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.conftest import NOT_ON_THIS_MACHINE
from tests.interop.bench import Bench
from tests.interop.languages import Language, NotOnThisMachine, present
from tests.interop.programs import Program
from tests.postgres import Cluster
from tests.schema import make_sqlite

STORES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]

StartWorker = Callable[..., Program]


class ByStand(LoadScopeScheduling):
    """Sends the tests of a module on one store to one process of a parallel run: it has one server, and one set of workers."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        store = re.search(r"[\[-](sqlite|postgres)[\]-]", nodeid)
        if store is not None:
            return f"{module} on {store[1]}"
        return module if "test_security" in module else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByStand | None:
    """Use it where tests are sent in groups."""
    return ByStand(config, log) if config.getoption("dist") == "loadgroup" else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test for every language, or every pair of them, whose client is here."""
    names = {language.name: language for language in present()}
    for argument in ("dispatcher", "worker", "language", "streaming", "calling"):
        if argument in metafunc.fixturenames:
            wanted = [
                each
                for each in names.values()
                if argument not in {"streaming", "calling"} or each.streams == (argument == "streaming")
            ]
            metafunc.parametrize(argument, wanted, ids=[each.name for each in wanted], indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put into each test's report what the tables of `make interop` are made of."""
    for item in items:
        if "tests/interop" not in item.nodeid or not isinstance(item, pytest.Function):
            continue
        for mark in item.iter_markers("requirement"):
            item.user_properties += [("requirement", requirement) for requirement in mark.args]
        parameters: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
        for name, value in parameters.items():
            if isinstance(value, Language):
                item.user_properties.append((name, value.name))
            elif name == "store":
                item.user_properties.append((name, value))


def _here(request: pytest.FixtureRequest) -> Language:
    """Return the language of a test; skip it where this machine cannot build its client."""
    language = cast("Language", request.param)
    try:
        language.build()
    except NotOnThisMachine as missing:
        pytest.skip(f"{NOT_ON_THIS_MACHINE}{language.name} client: {missing}")
    return language


@pytest.fixture
def dispatcher(request: pytest.FixtureRequest) -> Language:
    """The language that dispatches."""
    return _here(request)


@pytest.fixture
def worker(request: pytest.FixtureRequest) -> Language:
    """The language that works."""
    return _here(request)


@pytest.fixture
def language(request: pytest.FixtureRequest) -> Language:
    """The language under test, alone."""
    return _here(request)


@pytest.fixture
def streaming(request: pytest.FixtureRequest) -> Language:
    """A language whose worker holds a stream."""
    return _here(request)


@pytest.fixture
def calling(request: pytest.FixtureRequest) -> Language:
    """A language whose worker makes calls."""
    return _here(request)


@pytest.fixture(scope="session", params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    """Give the test each store in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def bench(store: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Stand of a store for the session."""
    directory = tmp_path_factory.mktemp(f"bench-{store}")
    if store == "sqlite":
        yield from _standing(directory, sqlite_settings(directory / "jobs.db"))
        return
    cluster = cast("Cluster", request.getfixturevalue("postgres_cluster"))
    database = cluster.create_database()
    dsn = cluster.dsn(database).replace("postgresql+asyncpg://", "postgresql://")
    yield from _standing(directory, {"PROTOJOBS_DRIVER": "postgres", "PROTOJOBS_POSTGRES__DSN": dsn})


@pytest.fixture
def start_worker(bench: Bench) -> Iterator[StartWorker]:
    """Start workers that end with the test."""
    started: list[Program] = []

    def start(language: Language, queue: str, *options: str) -> Program:
        started.append(bench.start_worker(language, queue, *options))
        return started[-1].ready()

    yield start
    for each in started:
        each.put_away()


def sqlite_settings(path: Path) -> dict[str, str]:
    """Make an empty store in a file; return the settings of a server on it."""
    make_sqlite(path)
    return {"PROTOJOBS_DRIVER": "sqlite", "PROTOJOBS_SQLITE__PATH": str(path)}


def _standing(directory: Path, settings: dict[str, str]) -> Iterator[Bench]:
    bench = Bench(directory, settings)
    try:
        bench.server.ready()
        yield bench
    finally:
        bench.close()

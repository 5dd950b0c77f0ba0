"""The fixtures of the contract: `driver` on every backend, its `room` and its `clock`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from protojobs_service.port import Driver

from tests.contract.backends import BACKENDS, Bench, Clock, FakeRoom, Kept
from tests.contract.exemptions import EXEMPTIONS

_HERE = Path(__file__).parent

EVERY_BACKEND = [pytest.param(name, id=name, marks=backend.marks) for name, backend in BACKENDS.items()]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the contract in one loop, in which the stores stay open; skip what the table of exemptions names."""
    for item in items:
        if isinstance(item, pytest.Function) and item.path.parent == _HERE:
            if item.get_closest_marker("asyncio") is not None:
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            reason = EXEMPTIONS.get((_backend(item), item.originalname))
            if reason is not None:
                item.add_marker(pytest.mark.skip(reason=reason))
    # The walks take minutes: begun last, they would be all that still runs.
    items.sort(key=lambda item: item.path.name != "test_state_machine.py")


def _backend(item: pytest.Function) -> str:
    return str(item.callspec.params.get("backend", "")) if hasattr(item, "callspec") else ""


@pytest.fixture(params=EVERY_BACKEND)
def backend(request: pytest.FixtureRequest) -> str:
    """Return the name of the backend under test."""
    return str(request.param)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kept() -> AsyncIterator[Kept]:
    """Keep the stores of the session open."""
    kept = Kept()
    yield kept
    await kept.end()


@pytest_asyncio.fixture(loop_scope="session")
async def bench(request: pytest.FixtureRequest, backend: str, kept: Kept) -> AsyncIterator[Bench]:
    """Open an empty store of the backend."""
    async with BACKENDS[backend].open(request, kept) as bench:
        yield bench


@pytest.fixture
def driver(bench: Bench) -> Driver:
    """Return the driver under test."""
    return bench.driver


@pytest.fixture
def room(bench: Bench) -> FakeRoom:
    """Return the room that the driver was opened with."""
    return bench.room


@pytest.fixture
def clock(bench: Bench) -> Clock:
    """Return the store's clock."""
    return bench.clock

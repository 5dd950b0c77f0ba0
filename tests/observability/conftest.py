"""One server's metrics for all tests of this folder, and promtool."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.conftest import NOT_ON_THIS_MACHINE
from tests.observability.live import loaded_metrics


@pytest.fixture(scope="session")
def metrics_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what a server says that has done a little of everything."""
    return asyncio.run(loaded_metrics(tmp_path_factory.mktemp("live")))


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Return Prometheus's own checker."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip(f"{NOT_ON_THIS_MACHINE}tests of alerts: needs prometheus (promtool)")
    return Path(found)

"""`ground`: each store with fresh tables."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.unit.drivers.kit import Ground, opened


@pytest_asyncio.fixture(
    params=[
        "memory",
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
async def ground(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ground]:
    """Open the store of one dialect; names carry a prefix that needs no quotes and a test of its own checks one that does."""
    urls = {"memory": "sqlite://", "sqlite": f"sqlite:///{tmp_path}/jobs.db"}
    url = urls.get(request.param) or str(request.getfixturevalue(f"{request.param}_dsn"))
    async with opened(url, prefix="pj_") as ground:
        yield ground

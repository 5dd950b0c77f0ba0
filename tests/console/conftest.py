"""A console over an empty store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.console.site import Site, serving


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Run a server whose console anybody may use."""
    async with serving(tmp_path) as running:
        yield running

"""The stand of the use cases' tests."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.unit.application.stand import Stand, open_stand


@pytest_asyncio.fixture
async def stand() -> AsyncIterator[Stand]:
    """Give an application over an empty store."""
    opened = await open_stand()
    yield opened
    await opened.driver.close()

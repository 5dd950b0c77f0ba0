"""Fresh databases of every dialect, and a way to look into them."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest
import pytest_asyncio
from sqlalchemy import Connection, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

T = TypeVar("T")


class Database(NamedTuple):
    """A database; `run` runs a function of a connection in a transaction of its own."""

    url: str
    run: "Callable[[Callable[[Connection], object]], Awaitable[object]]"

    @property
    def is_postgres(self) -> bool:
        """Tell the dialect."""
        return self.url.startswith("postgresql")

    @property
    def is_mariadb(self) -> bool:
        """Tell the dialect."""
        return self.url.startswith("mysql")


@pytest.fixture(
    params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("mariadb", marks=pytest.mark.mariadb)]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.db'}"
    return str(request.getfixturevalue(f"{request.param}_dsn"))


@pytest_asyncio.fixture
async def database(url: str) -> AsyncGenerator[Database]:
    """Open the database for the test's own statements."""
    if url.startswith("sqlite"):
        engine = create_engine(url)

        async def run(operation: Callable[[Connection], T]) -> T:
            with engine.begin() as connection:
                return operation(connection)

        yield Database(url, run)
        engine.dispose()
    else:
        pool = create_async_engine(url)

        async def run_there(operation: Callable[[Connection], T]) -> T:
            async with pool.begin() as connection:
                return await connection.run_sync(operation)

        yield Database(url, run_there)
        await pool.dispose()

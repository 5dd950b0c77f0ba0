"""Databases with the newest schema: the migrations make one for each process, and tests get copies of it.

`tests/migration` is about the migrations themselves; every other test begins with what they lead to.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from protojobs_service.drivers.sql.migrate import upgrade
from protojobs_service.drivers.sql.postgres import PostgresStore
from protojobs_service.drivers.sql.store import Options


def make_sqlite(path: Path) -> str:
    """Put an empty SQLite database with the newest schema at `path`; return its URL."""
    path.write_bytes(_sqlite())
    return f"sqlite:///{path}"


@cache
def _sqlite() -> bytes:
    with TemporaryDirectory() as home:
        path = Path(home) / "jobs.db"
        _run(upgrade(f"sqlite:///{path}"))
        return path.read_bytes()


def prepare_postgres(url: str) -> None:
    """Bring a PostgreSQL database to the newest schema, and make the partitions of these days as the first store does."""
    _run(_prepare(url))


async def _prepare(url: str) -> None:
    await upgrade(url)
    store = PostgresStore(Options(url=url))
    await store.open()
    await store.close()


def _run(call: Coroutine[Any, Any, object]) -> None:
    """Wait for a coroutine, also in a fixture in whose thread a loop runs."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(asyncio.run, call).result()

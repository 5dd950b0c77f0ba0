"""How much the side store gives in one answer, and in which order on a database that sorts by language."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from protojobs_service.domain.side_note import MAX_READ
from protojobs_service.drivers.memory import MemoryDriver
from protojobs_service.drivers.sql.cold.base import Cold, Replica
from protojobs_service.drivers.sql.side_store import SqlSideStore

from tests.contract.backends import fingerprint
from tests.postgres import Cluster
from tests.unit.drivers.kit import Ground, opened

pytestmark = pytest.mark.asyncio

NAMES = [f"n{n:05}" for n in range(MAX_READ + 2)]


def side_store(ground: Ground) -> SqlSideStore:
    """Return the side store of the database."""
    store = ground.store
    cold = Cold(tables=store.tables, now=store.now, replica=Replica("here"), writer=3, fingerprint=fingerprint)
    return SqlSideStore(store, cold)


async def fill(ground: Ground, names: Sequence[str]) -> None:
    """Store a note of each name."""
    table = ground.store.tables.side_note
    rows: list[dict[str, Any]] = [{"name": name, "value": b"v", "changed_at": 1} for name in names]
    await ground.store.run(lambda c: c.execute(table.insert(), rows) and None)


def is_the_first(found: Mapping[str, bytes]) -> bool:
    """Tell whether an answer is as long as one may be, and begins at the first name."""
    return list(found) == NAMES[:MAX_READ]


async def test_one_answer_holds_the_first_ten_thousand_notes(ground: Ground) -> None:
    await fill(ground, NAMES[::-1])

    assert is_the_first(await side_store(ground).read_all("n"))
    assert MAX_READ == 10_000


async def test_one_answer_of_the_reference_driver_holds_as_many() -> None:
    memory = MemoryDriver(fingerprint=fingerprint, clock=lambda: datetime.now(UTC), rng=Random(1)).side_store
    for name in reversed(NAMES):
        await memory.write(name, b"v", None)

    assert is_the_first(await memory.read_all("n"))


@pytest.mark.postgres
async def test_a_database_that_sorts_by_language_gives_the_same_order(postgres_cluster: Cluster) -> None:
    if int(postgres_cluster.execute("SHOW server_version_num")) < 150_000:
        pytest.skip("databases in a language that every machine has need PostgreSQL 15")
    postgres_cluster.execute("CREATE DATABASE english TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'")
    names = ["a-b", "a.b", "a/B", "a/_", "a/b", "a:b", "b", "B", "_"]
    try:
        async with opened(postgres_cluster.dsn("english")) as ground:
            await fill(ground, names)

            found = await side_store(ground).read_all("")
            within = await side_store(ground).read_all("a/")
    finally:
        postgres_cluster.drop_database("english")

    assert list(found) == sorted(names)
    assert list(within) == ["a/B", "a/_", "a/b"]

"""How much the side store gives in one answer."""

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
from tests.unit.drivers.kit import Ground

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
    await ground.store.run(lambda c: c.execute(table.insert(), rows).rowcount)


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

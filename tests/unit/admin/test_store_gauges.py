"""Gauges whose numbers somebody else has to be asked for: a look at them ends, whoever is silent."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from protojobs_service.admin.outbox_gauges import OutboxGauges
from protojobs_service.admin.queue_gauges import QueueGauges
from protojobs_service.application import OutboxStatus, Recent, Relay

from tests.unit.application.stand import FakeClock, Patience, Stand, open_stand

pytestmark = pytest.mark.asyncio


class Box:
    """An outbox of which only the status is asked; `answers` says whether it has any."""

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers

    async def status(self) -> OutboxStatus:
        """Return three rows that wait, or nothing ever."""
        if not self._answers:
            await asyncio.Event().wait()
        return OutboxStatus(3, timedelta(seconds=1), 0)


class Readings:
    """Takes gauges as telemetry does, and reads them by name."""

    def __init__(self) -> None:
        self._reads: dict[str, Any] = {}

    def observe(self, name: str, _description: str, read: Any, _unit: str = "") -> None:
        self._reads[name] = read

    count = observe

    def __getitem__(self, name: str) -> list[Any]:
        return list(self._reads[name]())


@pytest_asyncio.fixture
async def stand() -> AsyncIterator[Stand]:
    """Give an application over an empty store."""
    opened = await open_stand()
    yield opened
    await opened.driver.close()


async def _never(*_: Any) -> Any:
    await asyncio.Event().wait()


async def test_a_store_that_is_silent_ends_a_look_without_numbers(stand: Stand) -> None:
    await stand.dispatch(queue="mail")
    gauges = QueueGauges(stand.application.recent_stats)
    await gauges.refresh()
    silent = QueueGauges(Recent(stand.application.queues.stats, stand.clock, patience=0))
    stand.driver.queues.stats = _never  # type: ignore[method-assign,assignment] # the port as the test wants it

    await silent.refresh()

    assert [labels["queue"] for _, labels in gauges.depth()][:1] == ["mail"]
    assert silent.depth() == []


async def test_a_store_is_told_how_long_a_look_may_take(stand: Stand) -> None:
    patience = Patience(stand.driver.queues, "stats")

    await QueueGauges(Recent(stand.application.queues.stats, stand.clock, patience=7)).refresh()

    [left] = patience.left
    assert left is not None
    assert 0 < left <= 7


async def test_an_outbox_that_is_silent_hides_no_other() -> None:
    boxes: list[Any] = [Box(answers=False), Box(answers=True)]
    relays = [Relay(box, _never, FakeClock(), name=f"outbox-{number}") for number, box in enumerate(boxes, 1)]
    gauges, readings = OutboxGauges(relays, patience=0), Readings()
    telemetry: Any = readings
    gauges.register(telemetry)

    await gauges.refresh()

    assert {(labels["outbox"], labels["state"]): rows for rows, labels in readings["protojobs.outbox.rows"]} == {
        ("outbox-2", "waiting"): 3,
        ("outbox-2", "set_aside"): 0,
    }

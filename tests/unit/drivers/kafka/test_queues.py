"""Clearing what lies in topics: nothing that was accepted after the time that was named."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import cast

import pytest
from confluent_kafka.admin import AdminClient
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.kafka.lag import Lag, Span
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.queues import KafkaQueues
from protojobs_service.drivers.kafka.routes import Routes
from protojobs_service.drivers.kafka.topics import Place, Topics
from protojobs_service.port import ClearQuery

from tests.unit.drivers.kafka.kit import AT, PREFIX, place, running_intake

pytestmark = pytest.mark.asyncio

Q = place("q")
SECOND = timedelta(seconds=1)


class TimedLag:
    """A partition of another server, with a record of a job of each second from AT on."""

    async def spans(self) -> dict[Place, Span]:
        return {Q: Span(0, 100, 100, is_exact=True)}

    async def offsets_at(self, at: datetime, _: list[Place]) -> dict[Place, int]:
        return {Q: max(0, (at - AT) // SECOND)}

    async def done(self, places: list[Place]) -> Mapping[Place, int]:
        return dict.fromkeys(places, 100)


class NotedTopics(Topics):
    """Topics without a broker, and what was to be deleted of them."""

    def __init__(self) -> None:
        super().__init__(Options(brokers="nobody", prefix=PREFIX), cast("AdminClient", None))
        self.partitions = {Q.topic: 1}
        self.trimmed: dict[Place, int] = {}

    async def trim(self, ends: Mapping[Place, int]) -> None:
        self.trimmed.update(ends)


async def test_clearing_up_to_a_time_drops_no_record_of_which_a_job_may_be_younger() -> None:
    async with running_intake() as bench:
        topics, lag, side = NotedTopics(), cast("Lag", TimedLag()), bench.side.as_driver()
        queues = KafkaQueues(side, Routes(topics), topics, bench.backlog, bench.intake, lag, bench.ledger, 30 * SECOND)

        await queues.clear(ClearQuery(queue="q", states=frozenset({State.PENDING}), before=AT + 70 * SECOND))
        some = dict(topics.trimmed)
        await queues.clear(ClearQuery(queue="q", states=frozenset({State.PENDING})))

    assert some == {Q: 40}
    assert topics.trimmed == {Q: 100}

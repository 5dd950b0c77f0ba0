"""Dispatching to topics: no answer says that nothing was stored once something may be."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

import pytest
from confluent_kafka import Producer
from protojobs_service.domain.errors import Overloaded, StoreUnavailable
from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.drivers.kafka.backlog import Backlog
from protojobs_service.drivers.kafka.intake import Intake
from protojobs_service.drivers.kafka.jobs import KafkaJobs
from protojobs_service.drivers.kafka.options import Options
from protojobs_service.drivers.kafka.producer import Appender, Outgoing
from protojobs_service.drivers.kafka.routes import Routes
from protojobs_service.drivers.kafka.search import Search
from protojobs_service.drivers.kafka.topics import Place

from tests.contract.acts import new_job
from tests.unit.drivers.kafka.kit import AT, place, running_intake

pytestmark = pytest.mark.asyncio


class FullProducer:
    """Takes so many records, and no more."""

    def __init__(self, room: int) -> None:
        self.room = room

    def produce(self, *_: Any, **__: Any) -> None:
        if not self.room:
            raise BufferError
        self.room -= 1


class PlainRoutes:
    """Sends jobs without a delay to a topic."""

    def choose(self, jobs: Sequence[NewJob]) -> list[Place | None]:
        return [None if job.delay else place() for job in jobs]

    def have_seen(self, _: Sequence[JobId]) -> bool:
        return False

    def learn(self, _: Sequence[NewJob]) -> set[str]:
        return set()


def full(room: int) -> Appender:
    """Return an appender whose producer has room for so many records."""
    appender = Appender(Options(brokers="nobody"))
    appender._producer = cast("Producer", FullProducer(room))
    return appender


async def test_append_that_finds_no_room_at_all_stores_nothing() -> None:
    with pytest.raises(Overloaded):
        await full(0).append([Outgoing(place(), b"1", 0)])


async def test_append_that_finds_room_for_a_part_does_not_say_that_nothing_was_stored() -> None:
    with pytest.raises(StoreUnavailable):
        await full(1).append([Outgoing(place(), b"1", 0), Outgoing(place(), b"2", 0)])


async def test_dispatch_whose_other_half_is_stored_does_not_say_that_nothing_was() -> None:
    async with running_intake() as bench:
        jobs = _jobs(bench.side.as_driver(), bench.backlog, bench.intake)
        with pytest.raises(StoreUnavailable):
            await jobs.dispatch([new_job(), new_job(delay=timedelta(minutes=1))])
        with pytest.raises(Overloaded):
            await jobs.dispatch([new_job()])


def _jobs(side: Any, backlog: Backlog, intake: Intake) -> KafkaJobs:
    async def prepare(_: set[str]) -> None:
        await asyncio.sleep(0)

    routes = cast("Routes", PlainRoutes())
    return KafkaJobs(side, routes, full(0), backlog, intake, cast("Search", None), prepare, lambda: AT)

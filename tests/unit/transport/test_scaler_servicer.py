"""What KEDA is told, under a clock of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from protojobs.keda import externalscaler_pb2
from protojobs_service.application import Share, Work
from protojobs_service.domain.errors import InvalidField, JobsError, StoreUnavailable
from protojobs_service.transport.interceptors import Drain
from protojobs_service.transport.scaler_servicer import METRIC, ScalerServicer

from tests.unit.application.stand import FakeClock

pytestmark = pytest.mark.asyncio

QUEUE = {"queues": "mail"}


class Numbers:
    """Work as a test says."""

    def __init__(self) -> None:
        self.now: Work | JobsError = Work(0, 0)
        self.asked: list[Share] = []

    async def work(self, share: Share) -> Work:
        """Return it, or fail."""
        self.asked.append(share)
        if isinstance(self.now, JobsError):
            raise self.now
        return self.now


class Stream:
    """What a stream has said so far."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    async def write(self, answer: Any) -> None:
        """Note an answer."""
        self.said.append(answer)


class Scaler:
    """A servicer and what it depends on."""

    def __init__(self) -> None:
        self.numbers, self.clock, self.drain = Numbers(), FakeClock(), Drain()
        scaling: Any = self.numbers
        self.servicer = ScalerServicer(scaling, self.clock, self.drain)
        self.context: Any = Stream()
        self.streams: list[asyncio.Task[None]] = []

    async def is_active(self, **metadata: str) -> bool:
        """Ask whether there should be a replica."""
        return (await self.servicer.IsActive(_object(metadata), self.context)).result

    async def metric(self, name: str = METRIC, **metadata: str) -> externalscaler_pb2.MetricValue:
        """Ask for the metric."""
        request = externalscaler_pb2.GetMetricsRequest(scaledObjectRef=_object(metadata), metricName=name)
        [value] = (await self.servicer.GetMetrics(request, self.context)).metricValues
        return value

    async def watch(self, **metadata: str) -> list[Any]:
        """Open the stream of activity and return what it says, now and later."""
        stream: Any = Stream()
        task = asyncio.ensure_future(self.servicer.StreamIsActive(_object(metadata), stream))
        self.streams.append(task)
        await self.clock.settle()
        said: list[Any] = stream.said
        return said


def _object(metadata: dict[str, str]) -> externalscaler_pb2.ScaledObjectRef:
    return externalscaler_pb2.ScaledObjectRef(name="worker", namespace="jobs", scalerMetadata={**QUEUE, **metadata})


@pytest_asyncio.fixture
async def scaler() -> AsyncIterator[Scaler]:
    """Give a scaler with nothing to do."""
    made = Scaler()
    yield made
    for stream in made.streams:
        stream.cancel()
    await asyncio.gather(*made.streams, return_exceptions=True)


async def test_the_metric_is_what_waits_and_what_runs_in_both_fields(scaler: Scaler) -> None:
    scaler.numbers.now = Work(waiting=7, running=5)

    value = await scaler.metric()

    assert (value.metricName, value.metricValue, value.metricValueFloat) == (METRIC, 12, 12.0)
    assert scaler.numbers.asked == [Share(("mail",))]


@pytest.mark.parametrize("name", ["", "s0-protojobs-jobs", "other"])
async def test_another_metric_is_refused_by_name(scaler: Scaler, name: str) -> None:
    with pytest.raises(InvalidField, match="metricName: must be protojobs-jobs"):
        await scaler.metric(name)


@pytest.mark.parametrize(("target", "whole"), [("10", 10), ("2.5", 3), ("0.2", 1)])
async def test_the_target_is_told_in_both_fields_and_the_whole_one_is_never_zero(scaler: Scaler, target: str, whole: int) -> None:
    [spec] = (await scaler.servicer.GetMetricSpec(_object({"targetPerReplica": target}), scaler.context)).metricSpecs

    assert (spec.metricName, spec.targetSize, spec.targetSizeFloat) == (METRIC, whole, float(target))


async def test_the_stream_of_specs_says_what_is_said_when_asked_and_ends_at_the_drain(scaler: Scaler) -> None:
    stream: Any = Stream()
    trigger = _object({"targetPerReplica": "3"})
    streaming = asyncio.ensure_future(scaler.servicer.StreamMetricSpec(trigger, stream))
    await scaler.clock.advance(100)
    assert stream.said == [await scaler.servicer.GetMetricSpec(trigger, scaler.context)]
    assert not streaming.done()

    scaler.drain.begin()

    await streaming


@pytest.mark.parametrize(
    ("work", "backlog", "active"),
    [
        (Work(0, 0), "0", False),
        (Work(1, 0), "0", True),
        (Work(5, 0), "5", False),
        (Work(6, 0), "5", True),
        (Work(0, 1), "5", True),
    ],
    ids=["nothing", "one waits", "as many as are allowed to wait", "one more", "one runs"],
)
async def test_there_is_a_replica_where_more_wait_than_may_or_any_runs(
    scaler: Scaler, work: Work, backlog: str, active: bool
) -> None:
    scaler.numbers.now = work

    assert await scaler.is_active(activationBacklog=backlog) is active


async def test_a_store_that_does_not_answer_is_no_empty_queue(scaler: Scaler) -> None:
    scaler.numbers.now = StoreUnavailable()

    with pytest.raises(StoreUnavailable):
        await scaler.is_active()
    with pytest.raises(StoreUnavailable):
        await scaler.metric()
    await scaler.watch()
    with pytest.raises(StoreUnavailable):
        await scaler.streams[0]


async def test_activity_is_said_at_once_and_when_it_changes(scaler: Scaler) -> None:
    said = await scaler.watch()
    assert [each.result for each in said] == [False]

    await scaler.clock.advance(5)
    scaler.numbers.now = Work(1, 0)
    await scaler.clock.advance(1)
    assert [each.result for each in said] == [False, True]

    scaler.numbers.now = Work(0, 0)
    await scaler.clock.advance(1)
    assert [each.result for each in said] == [False, True, False]


async def test_activity_is_said_again_every_half_minute(scaler: Scaler) -> None:
    scaler.numbers.now = Work(1, 0)
    said = await scaler.watch()

    await scaler.clock.advance(29.5)
    assert [each.result for each in said] == [True]
    await scaler.clock.advance(0.5)
    assert [each.result for each in said] == [True, True]
    await scaler.clock.advance(60)
    assert [each.result for each in said] == [True] * 4


async def test_a_stream_is_silent_while_the_store_is_and_goes_on_with_it(scaler: Scaler) -> None:
    said = await scaler.watch()
    scaler.numbers.now = StoreUnavailable()
    await scaler.clock.advance(60)
    assert [each.result for each in said] == [False]

    scaler.numbers.now = Work(1, 0)
    await scaler.clock.advance(1)

    assert [each.result for each in said] == [False, True]


async def test_a_stream_ends_at_the_drain(scaler: Scaler) -> None:
    await scaler.watch()

    scaler.drain.begin()

    await scaler.streams[0]


async def test_a_stream_with_a_wrong_trigger_is_refused(scaler: Scaler) -> None:
    await scaler.watch(include="everything")

    with pytest.raises(InvalidField, match=r"scalerMetadata\.include"):
        await scaler.streams[0]

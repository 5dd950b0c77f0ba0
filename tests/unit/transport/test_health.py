"""Watchers of health: nobody asks them for credentials, so their number has an end."""

import asyncio
from typing import Any

import pytest
from grpc_health.v1 import health_pb2
from protojobs_service.domain.errors import Overloaded, StoreUnavailable
from protojobs_service.transport.health import Health, HealthServicer

pytestmark = pytest.mark.asyncio


class Stream:
    """Where a watcher is answered."""

    def __init__(self) -> None:
        self.told = asyncio.Event()

    async def write(self, _: Any) -> None:
        """Note that something was said."""
        self.told.set()


async def test_watchers_beyond_the_bound_are_refused_until_one_leaves() -> None:
    servicer = HealthServicer(most_watchers=1)
    request, first, third = health_pb2.HealthCheckRequest(), Stream(), Stream()
    context: Any = first
    watching = asyncio.ensure_future(servicer.Watch(request, context))
    await first.told.wait()

    with pytest.raises(Overloaded):
        await servicer.Watch(request, context)
    watching.cancel()
    await asyncio.wait([watching])
    context = third
    watching = asyncio.ensure_future(servicer.Watch(request, context))
    await third.told.wait()
    watching.cancel()
    await asyncio.wait([watching])


class StoreTime:
    """A store that answers or does not."""

    def __init__(self) -> None:
        self.answers = True
        self.error: Exception = StoreUnavailable("gone")

    async def refresh(self) -> None:
        """Answer."""
        if not self.answers:
            raise self.error


def _one_of_many() -> tuple[Health, StoreTime]:
    store: Any = StoreTime()
    return Health(store, store, ["a.B"], interval=1, failures=1, one_of_many=True), store


async def _status(health: Health) -> int:
    answer = await health.servicer.Check(health_pb2.HealthCheckRequest(service="a.B"), None)  # type: ignore[arg-type] # not used
    return answer.status


async def test_one_of_many_processes_serves_from_when_all_were_ready_and_is_ready_while_all_are() -> None:
    health, _ = _one_of_many()
    await health.start()
    assert await _status(health) == health_pb2.HealthCheckResponse.NOT_SERVING
    assert health.why_not == "another process of this server is not ready"

    health.all_ready(True)
    assert await _status(health) == health_pb2.HealthCheckResponse.SERVING
    assert health.why_not == ""

    health.all_ready(False)
    assert await _status(health) == health_pb2.HealthCheckResponse.SERVING
    assert health.why_not == "another process of this server is not ready"


async def test_whoever_watches_a_process_hears_when_it_could_serve_by_itself() -> None:
    health, store = _one_of_many()
    heard: list[bool] = []
    await health.start()
    health.watched_by(heard.append)
    store.answers = False
    await health.probe()
    await health.probe()
    assert health.why_not == "the store does not answer"
    store.answers = True
    await health.probe()
    await health.drain()

    assert heard == [True, False, True, False]
    assert health.why_not == "draining"


async def test_a_probe_that_fails_as_nobody_expects_is_a_failed_probe(caplog: pytest.LogCaptureFixture) -> None:
    health, store = _one_of_many()
    health.all_ready(True)
    store.answers, store.error = False, AttributeError("of a library")

    await health.probe()

    assert health.why_not == "the store does not answer"
    assert "of a library" in caplog.text

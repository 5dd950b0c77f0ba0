"""Watchers of health: nobody asks them for credentials, so their number has an end."""

import asyncio
from typing import Any

import pytest
from grpc_health.v1 import health_pb2
from protojobs_service.domain.errors import Overloaded
from protojobs_service.transport.health import HealthServicer

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

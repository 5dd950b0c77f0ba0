"""A traced service and a traced application beside it, whose spans and metrics go to the same receiver."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from protojobs_service.compose import RunningServer, start_server
from protojobs_service.settings import OtelSettings

from tests.schema import make_sqlite
from tests.wire.peer import settings_for


@asynccontextmanager
async def traced_server(directory: Path, **settings: Any) -> AsyncIterator[RunningServer]:
    """Run a server over SQLite that exports as the environment says. What it has exported is complete when the context ends."""
    loaded = settings_for(driver="sqlite", sqlite={"path": directory / "jobs.db"}, **settings)
    make_sqlite(directory / "jobs.db")
    async with start_server(loaded, otel=OtelSettings()) as running:
        yield running


@contextmanager
def application(monkeypatch: pytest.MonkeyPatch) -> Iterator[trace.Tracer]:
    """Be an application that has set providers, as long as the context lasts; gives its tracer. Exports at the end.

    Enter it after the server runs, which would take the providers for its own.
    """
    resource = Resource.create({"service.name": "shop"})
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource, shutdown_on_exit=False)
    with monkeypatch.context() as patch:
        patch.setattr(trace, "get_tracer_provider", lambda: tracers)
        patch.setattr(metrics, "get_meter_provider", lambda: meters)
        yield tracers.get_tracer("shop")
    tracers.shutdown()
    meters.shutdown()

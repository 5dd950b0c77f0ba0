"""Where spans and metrics go beside the admin port: what the standard variables of OpenTelemetry ask for, and nothing unasked.

Everything is pushed by threads of the SDK out of bounded queues: with a collector that is away or hangs, spans are dropped (and
that is said once a minute, `OncePerMinute`), metrics wait for the next turn, and jobs go on.
"""

import logging
import threading
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from typing_extensions import override

from protojobs_service.settings import InvalidSettings, OtelSettings

FLUSH_SECONDS: Final = 5.0
"""Patience with a collector at the end of a process."""

_QUIET_SECONDS: Final = 60.0


class Exporter(Protocol):
    """What pushes spans or metrics."""

    def shutdown(self) -> None:
        """End at once, also a push that is under way."""
        ...


def tracer_provider(otel: OtelSettings, resource: Resource, opened: list[Exporter]) -> TracerProvider | None:
    """Return what makes and exports spans, None where nobody asked. Raises InvalidSettings for an exporter that is not there.

    opened: gets the exporters. Sampling, limits and queues are as `OTEL_TRACES_SAMPLER`, `OTEL_SPAN_*` and `OTEL_BSP_*` say.
    """
    exporters = [_load("opentelemetry_traces_exporter", name)() for name in otel.span_exporters]
    if not exporters:
        return None
    opened += exporters
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def metric_readers(otel: OtelSettings, opened: list[Exporter]) -> list[MetricReader]:
    """Return what pushes metrics every `OTEL_METRIC_EXPORT_INTERVAL`. opened: gets the exporters. Raises InvalidSettings."""
    exporters = [_load("opentelemetry_metrics_exporter", name)() for name in otel.metric_exporters]
    opened += exporters
    return [PeriodicExportingMetricReader(exporter) for exporter in exporters]


def within(seconds: float, *steps: Callable[[], object]) -> bool:
    """Run the steps side by side for at most so long; tell whether all have ended. What has not goes on."""
    threads = [threading.Thread(target=step, name="telemetry flush", daemon=True) for step in steps]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


class OncePerMinute(logging.Filter):
    """Lets a warning of an exporter through once a minute, whatever it says: a collector that is away is one piece of news."""

    def __init__(self) -> None:
        super().__init__()
        self._said_at = float("-inf")

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to write it. The record's own time counts."""
        if record.levelno < logging.WARNING or not record.name.startswith("opentelemetry."):
            return True
        # Below 0 the clock was set back.
        if 0 <= record.created - self._said_at < _QUIET_SECONDS:
            return False
        self._said_at = record.created
        return True


def _load(group: str, name: str) -> Any:
    for point in entry_points(group=group, name=name):
        return point.load()
    needs = ": it needs the extra: pip install proto-jobs-service[otlp]" if name.startswith("otlp") else ""
    raise InvalidSettings(f"{name} is no exporter that is installed{needs}")

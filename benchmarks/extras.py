"""What a run may have beside the defaults: tokens, TLS, telemetry, more processes, a store that is far away."""

import os
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from protojobs_worker.options import TraceParent

from benchmarks.programs import BIN, run
from tests.certificates import Authority, Files

CONTROL: Final = "control"
GRANTS: Final = {
    CONTROL: "admin",
    "producer": "producer:bench*",
    "worker": "worker:bench*",
    "watcher": "observer:bench*",
    "flooder": "producer:bench*",
    "streamer": "worker:bench*",
    "pinger": "observer:bench*",
}
"""Who calls, and what its token allows."""
_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES: Final = "OTEL_TRACES_EXPORTER"
_METRICS: Final = "OTEL_METRICS_EXPORTER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """auth: the server asks for tokens. tls: it has a certificate. tracing: the share of traces that are kept, 0 to 1, None where
    there are none. trace_parent: what workers make of a job's trace. metrics: everyone pushes theirs. processes: of the server.
    store_latency: milliseconds of a round trip to the store, beside its own.
    """

    auth: bool = False
    tls: bool = False
    tracing: float | None = None
    trace_parent: TraceParent = "link"
    metrics: bool = False
    processes: int = 1
    store_latency: float = 0.0

    @property
    def telemetry(self) -> bool:
        """Tell whether anybody has something to export."""
        return self.tracing is not None or self.metrics

    def telemetry_env(self, endpoint: str, service: str) -> dict[str, str]:
        """Return the variables of a process that exports this to an OTLP receiver."""
        tracing = {} if self.tracing is None else {"OTEL_TRACES_SAMPLER_ARG": f"{self.tracing:g}"}
        return {
            _ENDPOINT: endpoint,
            "OTEL_SERVICE_NAME": service,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            _TRACES: "none" if self.tracing is None else "otlp",
            _METRICS: "otlp" if self.metrics else "none",
            **tracing,
        }


def make_tokens(directory: Path, server: Mapping[str, str]) -> dict[str, Path]:
    """Make the store that the server's environment names, and in it a token for each of GRANTS; returns their files."""
    run([BIN / "protojobs", "migrate", "upgrade"], server)
    files = {name: directory / f"{name}.token" for name in GRANTS}
    for name, file in files.items():
        create: list[str | Path] = [BIN / "protojobs", "tokens", "create", name, "--grant", GRANTS[name], "--ttl", "1d"]
        run([*create, "--store", "--output", file], server)
    return files


def make_certificates(directory: Path) -> Files:
    """Make an authority and a certificate of the server."""
    authority = Authority()
    return Files(directory / "tls").write(authority.server(), authority)


@contextmanager
def telemetry() -> Generator[None, None, None]:
    """Export spans and metrics of this process as its OTEL_* say, all of them by the end; nothing without an endpoint."""
    if _ENDPOINT not in os.environ:
        yield
        return
    with ExitStack() as ends:
        if os.environ[_TRACES] == "otlp":
            spans = TracerProvider()
            spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            trace.set_tracer_provider(spans)
            ends.callback(spans.shutdown)
        if os.environ[_METRICS] == "otlp":
            meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
            metrics.set_meter_provider(meters)
            ends.callback(meters.shutdown)
        yield

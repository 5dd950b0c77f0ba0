"""Spans and metrics of deliveries and settles."""

import contextvars
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind
from protojobs.v1 import worker_service_pb2 as wire
from protojobs_client.options import Options
from protojobs_client.telemetry import Instruments
from protojobs_worker.context import Attempt
from protojobs_worker.exchange import Exchange
from protojobs_worker.frames import WireLease
from protojobs_worker.ledger import Lease
from protojobs_worker.outcomes import (
    COMPLETED,
    Cancelled,
    ErrorInfo,
    Failed,
    Outcome,
    Released,
    ReleaseReason,
    Snoozed,
    as_timedelta,
)
from protojobs_worker.registry import Handler, HandlerOptions
from protojobs_worker.tracing import Tracing

from tests.unit.worker.conftest import Raises
from tests.unit.worker.fake_server import job_id, leased

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Stand:
    """An exchange, and everything that it tells."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False, **options)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        meters = MeterProvider([self.reader], shutdown_on_exit=False)
        monkeypatch.setattr("opentelemetry.metrics.get_meter_provider", lambda: meters)
        instruments = Instruments.current()
        self.tracing = Tracing(provider.get_tracer("test"), instruments, worker="w")
        self.exchange = Exchange(provider.get_tracer("test"), instruments, "w", Options(address="jobs:50051"))

    def ran(self, job: wire.LeasedJob, outcome: Outcome) -> WireLease:
        """Return a lease whose handler has run."""
        lease: WireLease = Lease(job.job_id, job.attempt, job, 1)
        lease.run = attempt = Attempt(lease, Handler("noop", lambda: None, HandlerOptions()))
        contextvars.copy_context().run(self.tracing.enter, attempt)
        self.tracing.leave(attempt, outcome)
        lease.outcome = outcome
        return lease

    def spans(self, *names: str) -> list[ReadableSpan]:
        """Return the spans of these names, in order of their ends."""
        return [span for span in self.exporter.get_finished_spans() if span.name in names]

    def measured(self, name: str) -> list[tuple[int, Mapping[str, Any]]]:
        """Return how often something was counted or measured, with its attributes."""
        data = self.reader.get_metrics_data()
        assert data is not None
        found = [metric for each in data.resource_metrics[0].scope_metrics for metric in each.metrics if metric.name == name]
        points: Any = [point for metric in found for point in metric.data.data_points]
        return [(getattr(point, "count", None) or point.value, dict(point.attributes)) for point in points]


def traced(number: int) -> wire.LeasedJob:
    """Return a job whose headers name a span."""
    job = leased(number)
    job.spec.headers["traceparent"] = TRACEPARENT
    return job


def test_a_delivery_is_a_span_that_links_to_what_created_each_job(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(monkeypatch)

    stand.exchange.delivered([traced(1), leased(2), traced(3)])

    [span] = stand.spans("lease default")
    assert (span.kind, span.parent) == (SpanKind.CLIENT, None)
    assert [f"{link.context.span_id:016x}" for link in span.links] == ["b7ad6b7169203331"] * 2
    assert span.attributes is not None
    assert span.attributes["messaging.batch.message_count"] == 3
    [(count, attributes)] = stand.measured("messaging.client.consumed.messages")
    assert (count, attributes["messaging.destination.name"]) == (3, "default")


def test_a_delivery_of_several_queues_names_none_and_counts_each(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(monkeypatch)
    other = leased(2)
    other.spec.queue = "other"

    stand.exchange.delivered([leased(1), other])

    [span] = stand.spans("lease")
    assert span.attributes is not None
    assert "messaging.destination.name" not in span.attributes
    counted = {
        attributes["messaging.destination.name"]: count
        for count, attributes in stand.measured("messaging.client.consumed.messages")
    }
    assert counted == {"default": 1, "other": 1}


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (COMPLETED, "ack"),
        (Failed(ErrorInfo("OSError", "disk full")), "nack"),
        (Snoozed(as_timedelta(5)), "snooze"),
        (Released(ReleaseReason.SHUTDOWN), "release"),
        (Cancelled(), "cancel"),
    ],
)
def test_a_settle_lasts_from_its_first_frame_to_the_answer_within_the_span_of_the_handler(
    monkeypatch: pytest.MonkeyPatch, outcome: Outcome, name: str
) -> None:
    stand = Stand(monkeypatch)
    lease = stand.ran(traced(1), outcome)

    stand.exchange.sent([lease])
    stand.exchange.sent([lease])  # on the next stream
    assert stand.spans(f"{name} default") == []
    stand.exchange.answered([lease])

    [settle], [process] = stand.spans(f"{name} default"), stand.spans("process default")
    assert settle.parent == process.context
    assert settle.attributes is not None
    assert (settle.attributes["messaging.operation.type"], settle.attributes["messaging.message.id"]) == ("settle", job_id(1))
    [(count, attributes)] = stand.measured("messaging.client.operation.duration")
    assert (count, attributes["messaging.operation.name"]) == (1, name)


def test_a_group_of_settles_is_one_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(monkeypatch)
    leases = [stand.ran(traced(number), COMPLETED) for number in (1, 2, 3)]

    stand.exchange.sent(leases)
    stand.exchange.answered([None, *leases])

    assert len(stand.spans("ack default")) == 3
    assert [count for count, _ in stand.measured("messaging.client.operation.duration")] == [1]


def test_a_superseded_outcome_tells_so(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(monkeypatch)
    lease = stand.ran(traced(1), COMPLETED)

    stand.exchange.sent([lease])
    stand.exchange.answered([lease], "LEASE_SUPERSEDED")

    [settle] = stand.spans("ack default")
    assert settle.attributes is not None
    assert settle.attributes["error.type"] == "LEASE_SUPERSEDED"


def test_what_a_provider_raises_stops_no_frame() -> None:
    broken: Any = Raises()
    lease: WireLease = Lease(job_id(1), 1, leased(1), 1)
    lease.outcome = COMPLETED
    lease.run = attempt = Attempt(lease, Handler("noop", lambda: None, HandlerOptions()))
    attempt.span = broken
    exchange = Exchange(broken, broken, "w", Options(address="jobs:50051"))

    exchange.delivered([lease.job])
    exchange.sent([lease])
    exchange.answered([lease])

    assert lease.sent_at is not None


def test_jobs_that_are_not_sampled_are_measured_and_make_no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(monkeypatch, sampler=ALWAYS_OFF)
    lease = stand.ran(traced(1), COMPLETED)

    stand.exchange.delivered([lease.job])
    stand.exchange.sent([lease])
    stand.exchange.answered([lease])

    assert stand.exporter.get_finished_spans() == ()
    assert lease.settling is None
    assert [count for count, _ in stand.measured("messaging.process.duration")] == [1]

"""Spans and metrics of a client: what they say, which context travels where, and nothing at all without a provider."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import pytest
from opentelemetry import baggage, metrics, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from protojobs_client import AsyncClient, JobRequest, Options
from protojobs_client.errors import QueueFullError
from protojobs_client.rpc_telemetry import rpc_interceptors
from protojobs_client.telemetry import Instruments, Telemetry, current_tracer

from tests.unit.client.fake import FakeServer, status

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

pytestmark = pytest.mark.asyncio


class Application:
    """An application that has set providers."""

    def __init__(self, patch: pytest.MonkeyPatch, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False, **options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        meters = MeterProvider([self.reader], shutdown_on_exit=False)
        patch.setattr(trace, "get_tracer_provider", lambda: self.provider)
        patch.setattr(metrics, "get_meter_provider", lambda: meters)

    def span(self, name: str) -> ReadableSpan:
        """Return the one span of a name."""
        [found] = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return found

    def counted(self, name: str) -> list[tuple[int, Mapping[str, Any]]]:
        """Return the numbers and attributes of a counter."""
        data = self.reader.get_metrics_data()
        assert data is not None
        of = [metric for each in data.resource_metrics[0].scope_metrics for metric in each.metrics if metric.name == name]
        points: Any = [point for metric in of for point in metric.data.data_points]
        return [(point.value, dict(point.attributes)) for point in points]


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    """Set providers for the test."""
    made = Application(monkeypatch)
    yield made
    made.provider.shutdown()


def traceparent(span: ReadableSpan) -> str:
    """Return how a header names a span, up to its flags."""
    assert span.context is not None
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-"


async def test_without_a_provider_nobody_is_told_and_nothing_is_in_the_way_of_calls(
    server: FakeServer, client: AsyncClient
) -> None:
    job = await client.dispatch("kind")
    await client.dispatch_many([JobRequest("kind")])

    assert (current_tracer(), Instruments.current(), rpc_interceptors(Options())) == (None, None, [])
    with Telemetry(Options()).sending("dispatch", JobRequest("kind")) as sending:
        assert sending is None
    assert dict(server.jobs.stored[job.job_id].headers) == {}
    assert "traceparent" not in server.jobs.metadata[0]


async def test_a_job_names_its_dispatch_and_the_call_names_itself(server: FakeServer, application: Application) -> None:
    async with AsyncClient(options=Options(address=server.address, streaming=False)) as client:
        job = await client.dispatch("kind", queue="q", priority=3)

    dispatch, call = application.span("dispatch q"), application.span("protojobs.v1.JobService/Dispatch")
    assert (dispatch.kind, call.kind) == (SpanKind.PRODUCER, SpanKind.CLIENT)
    assert call.parent == dispatch.context
    assert server.jobs.stored[job.job_id].headers["traceparent"].startswith(traceparent(dispatch))
    assert str(server.jobs.metadata[0]["traceparent"]).startswith(traceparent(call))
    assert dispatch.attributes is not None
    assert dispatch.attributes["messaging.message.id"] == job.job_id
    assert (dispatch.attributes["server.address"], dispatch.attributes["server.port"]) == ("127.0.0.1", server.port)


async def test_a_context_that_the_caller_has_given_a_job_stays_and_is_linked_to(
    server: FakeServer, application: Application
) -> None:
    async with AsyncClient(options=Options(address=server.address)) as client:
        one = await client.dispatch("kind", queue="q", headers={"traceparent": TRACEPARENT})
        [other] = await client.dispatch_many([JobRequest("kind").header("traceparent", TRACEPARENT)])

    assert {server.jobs.stored[job.job_id].headers["traceparent"] for job in (one, other)} == {TRACEPARENT}
    for name in ("dispatch q", "create default"):
        assert [f"{link.context.span_id:016x}" for link in application.span(name).links] == ["b7ad6b7169203331"]


async def test_baggage_travels_with_jobs_as_far_as_it_is_allowed_and_never_with_calls(
    server: FakeServer, application: Application
) -> None:
    token = otel_context.attach(baggage.set_baggage("tenant", "7", baggage.set_baggage("secret", "8")))
    async with AsyncClient(options=Options(address=server.address, streaming=False, baggage=("tenant",))) as client:
        jobs = [await client.dispatch("kind"), *await client.dispatch_many([JobRequest("kind")])]
    otel_context.detach(token)

    assert [server.jobs.stored[job.job_id].headers["baggage"] for job in jobs] == ["tenant=7", "tenant=7"]
    assert not [each for each in server.jobs.metadata if "baggage" in each]


async def test_a_refusal_marks_the_span_and_what_is_counted(server: FakeServer, application: Application) -> None:
    server.jobs.verdicts["bad"] = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    async with AsyncClient(options=Options(address=server.address)) as client:
        with pytest.raises(QueueFullError):
            await client.dispatch("bad", queue="q")
        await client.dispatch_many([JobRequest("bad"), JobRequest("good"), JobRequest("good")])

    span = application.span("dispatch q")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "QUEUE_FULL"
    counted = {
        (attributes["messaging.destination.name"], attributes.get("error.type")): count
        for count, attributes in application.counted("messaging.client.sent.messages")
    }
    assert counted == {("q", "QUEUE_FULL"): 1, ("default", "QUEUE_FULL"): 1, ("default", None): 2}


async def test_a_batch_that_is_not_sampled_makes_no_spans_of_its_jobs_which_name_it_all_the_same(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = Application(monkeypatch, sampler=ALWAYS_OFF)
    async with AsyncClient(options=Options(address=server.address)) as client:
        jobs = await client.dispatch_many([JobRequest("kind"), JobRequest("kind")])

    assert application.exporter.get_finished_spans() == ()
    [named] = {server.jobs.stored[job.job_id].headers["traceparent"] for job in jobs}
    assert not int(named[-2:], 16) & 1
    application.provider.shutdown()


@pytest.mark.parametrize("streaming", [True, False])
async def test_callers_that_share_a_stream_keep_their_traces_apart(
    server: FakeServer, application: Application, streaming: bool
) -> None:
    tracer = application.provider.get_tracer("test")
    server.jobs.open.clear()

    async def order(client: AsyncClient, name: str) -> tuple[str, int]:
        with tracer.start_as_current_span(name) as span:
            job = await client.dispatch("kind")
            return job.job_id, span.get_span_context().trace_id

    async with AsyncClient(options=Options(address=server.address, streaming=streaming)) as client:
        orders = [asyncio.ensure_future(order(client, f"order {number}")) for number in range(3)]
        server.jobs.open.set()
        done = await asyncio.gather(*orders)

    assert len({trace_id for _, trace_id in done}) == 3
    for job_id, trace_id in done:
        assert server.jobs.stored[job_id].headers["traceparent"][3:35] == f"{trace_id:032x}"


async def test_a_call_that_fails_tells_its_status(server: FakeServer, application: Application) -> None:
    server.jobs.call_errors = [status(grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")]
    async with AsyncClient(options=Options(address=server.address, streaming=False)) as client:
        with pytest.raises(Exception, match="refused"):
            await client.dispatch("kind")

    call = application.span("protojobs.v1.JobService/Dispatch")
    assert call.attributes is not None
    assert (call.attributes["rpc.response.status_code"], call.attributes["error.type"]) == ("NOT_FOUND", "NOT_FOUND")
    assert call.status.status_code is StatusCode.ERROR

"""A span per attempt, linked to the dispatch or in its trace; nothing at all without a tracer provider."""

import asyncio
import contextvars
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, DEFAULT_ON, Sampler
from opentelemetry.trace import SpanKind, StatusCode
from protojobs_worker.context import Attempt, JobContext
from protojobs_worker.execution import run
from protojobs_worker.lanes import Lanes
from protojobs_worker.ledger import Lease
from protojobs_worker.middleware import Hooks, Middleware, Surroundings
from protojobs_worker.outcomes import COMPLETED, Failed, Outcome
from protojobs_worker.registry import Handler, HandlerOptions
from protojobs_worker.tracing import Tracing

from tests.unit.worker.conftest import Raises
from tests.unit.worker.fake_server import job_id, leased

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


def test_an_application_without_a_provider_gets_no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)

    assert Tracing.if_configured(trace_parent="link", worker="w") is None
    assert Surroundings.of((), Hooks(), None) is None


def test_a_consumer_span_is_current_in_the_handler_and_linked_to_the_dispatch() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    current: list[int] = []

    def handler() -> None:
        current.append(trace.get_current_span().get_span_context().span_id)
        raise OSError("disk full")

    job = leased(1)
    job.spec.headers["traceparent"] = TRACEPARENT
    attempt = Attempt(Lease(job_id(1), 1, job, 1), Handler("kind", handler, HandlerOptions()))
    around = Surroundings.of((), Hooks(), Tracing(provider.get_tracer("test")))
    contextvars.copy_context().run(run, attempt, around)

    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind) == ("process default", SpanKind.CONSUMER)
    assert current == [span.context.span_id if span.context else 0]
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [TRACE_ID]
    assert span.parent is None
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["messaging.message.id"] == job_id(1)
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_worker_that_continues_traces_makes_the_dispatch_the_parent_and_tells_loggers_of_the_span() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    said: list[object] = []

    def handler(context: JobContext) -> None:
        said.append(context.log.extra)

    job = leased(1)
    job.spec.headers["traceparent"] = TRACEPARENT
    attempt = Attempt(Lease(job_id(1), 1, job, 1), Handler("kind", handler, HandlerOptions()))
    tracing = Tracing(provider.get_tracer("test"), trace_parent="continue")
    contextvars.copy_context().run(run, attempt, Surroundings.of((), Hooks(), tracing))

    (span,) = exporter.get_finished_spans()
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", list(span.links)) == (TRACE_ID, [])
    assert span.context is not None
    [extra] = said
    assert isinstance(extra, dict)
    assert (extra["trace_id"], extra["span_id"]) == (TRACE_ID, f"{span.context.span_id:016x}")


def test_baggage_of_the_producer_reaches_a_handler_whose_span_is_not_sampled() -> None:
    seen: list[object] = []

    def handler() -> None:
        seen.extend([baggage.get_baggage("tenant"), trace.get_current_span().is_recording()])

    job = leased(1)
    job.spec.headers["traceparent"] = TRACEPARENT
    job.spec.headers["baggage"] = "tenant=7"
    attempt = Attempt(Lease(job_id(1), 1, job, 1), Handler("kind", handler, HandlerOptions()))
    tracing = Tracing(TracerProvider(sampler=ALWAYS_OFF).get_tracer("test"))
    contextvars.copy_context().run(run, attempt, Surroundings.of((), Hooks(), tracing))

    assert seen == ["7", False]


@pytest.mark.parametrize("flags", ["0", "2"], ids=["none", "random id"])
@pytest.mark.parametrize(("sampler", "made"), [(DEFAULT_ON, 0), (ALWAYS_OFF, 0), (ALWAYS_ON, 2)])
def test_what_continues_a_trace_that_is_not_kept_is_kept_only_by_a_sampler_that_says_so(
    sampler: Sampler, made: int, flags: str
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    said: list[object] = []

    def handler(context: JobContext) -> None:
        said.append(context.log.extra)
        said.append(baggage.get_baggage("tenant"))
        provider.get_tracer("handler").start_span("within").end()

    job = leased(1)
    job.spec.headers["traceparent"] = TRACEPARENT.removesuffix("1") + flags
    job.spec.headers["baggage"] = "tenant=7"
    attempt = Attempt(Lease(job_id(1), 1, job, 1), Handler("kind", handler, HandlerOptions()))
    tracing = Tracing(provider.get_tracer("test"), trace_parent="continue")
    contextvars.copy_context().run(run, attempt, Surroundings.of((), Hooks(), tracing))

    [extra, tenant] = said
    assert isinstance(extra, dict)
    assert (extra["trace_id"], tenant) == (TRACE_ID, "7")
    assert [f"{span.context.trace_id:032x}" for span in exporter.get_finished_spans() if span.context] == [TRACE_ID] * made


class Unspeakable(Exception):
    """An error that has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Unruly(Middleware):
    """Raises past every `except Exception`."""

    def before(self, context: JobContext) -> None:
        raise SystemExit

    def after(self, context: JobContext, outcome: Outcome, seconds: float) -> None:
        raise SystemExit


def test_a_span_tells_of_an_error_that_has_no_text() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def handler() -> None:
        raise Unspeakable

    attempt = Attempt(Lease(job_id(1), 1, leased(1), 1), Handler("kind", handler, HandlerOptions()))
    outcome = contextvars.copy_context().run(run, attempt, Surroundings.of((), Hooks(), Tracing(provider.get_tracer("test"))))

    assert isinstance(outcome, Failed)
    (span,) = exporter.get_finished_spans()
    [event] = span.events
    assert (event.name, event.attributes) == (
        "exception",
        {
            "exception.type": outcome.error.type,
            "exception.message": outcome.error.message,
            "exception.stacktrace": outcome.error.stack,
        },
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("middleware", [(), (Unruly(),)], ids=["tracer", "middleware"])
async def test_what_tracing_or_middleware_raises_ends_neither_a_job_nor_the_next(middleware: tuple[Middleware, ...]) -> None:
    ended = asyncio.Event()
    reported: list[Outcome] = []

    def report(told: list[tuple[Attempt, Outcome]]) -> None:
        reported.extend(outcome for _, outcome in told)
        if len(reported) == 2:
            ended.set()

    async def handler() -> None:
        await asyncio.sleep(0)

    broken: Any = Raises()
    lanes = Lanes(report, set(), Surroundings(middleware, Hooks(), Tracing(broken, broken)))
    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        lanes.bind(group)
        for number in (1, 2):
            job = leased(number)
            lanes.start([Attempt(Lease(job.job_id, 1, job, 1), Handler("kind", handler, HandlerOptions(inline=True)))])
        await ended.wait()

    assert reported == [COMPLETED, COMPLETED]

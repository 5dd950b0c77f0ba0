"""The trace context of a producer in the headers of its jobs."""

from collections.abc import Iterator

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from protojobs_client.trace import trace_fields, with_trace

TRACEPARENT = "00-0000000000000000000000000000000a-000000000000000b-01"


@pytest.fixture(autouse=True)
def span() -> Iterator[None]:
    """Run the test within a span, with baggage."""
    span_context = SpanContext(trace_id=10, span_id=11, is_remote=False, trace_flags=TraceFlags(1))
    current = trace.set_span_in_context(NonRecordingSpan(span_context))
    current = baggage.set_baggage("tenant", "7", current)
    current = baggage.set_baggage("secret", "8", current)
    token = context.attach(current)
    yield
    context.detach(token)


def test_the_current_span_is_added() -> None:
    assert with_trace({"mine": "1"}, trace_fields()) == {"mine": "1", "traceparent": TRACEPARENT}


def test_a_context_of_the_caller_is_left_alone() -> None:
    headers = {"traceparent": "00-mine"}

    assert with_trace(headers, trace_fields()) == headers


def test_only_named_baggage_travels() -> None:
    assert trace_fields(("tenant", "other")) == {"traceparent": TRACEPARENT, "baggage": "tenant=7"}

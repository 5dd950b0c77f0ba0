"""Logs name the span that they happen in."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from protojobs_service.telemetry import configure_logs, request_scope


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Give the root logger and structlog back as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_an_event_within_a_span_has_its_ids_and_not_those_that_the_caller_sent(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    span = NonRecordingSpan(SpanContext(trace_id=10, span_id=11, is_remote=False, trace_flags=TraceFlags(1)))

    token = context.attach(trace.set_span_in_context(span))
    with request_scope(request_id="r1", trace_id="of the caller"):
        logging.getLogger("a").info("within")
    context.detach(token)
    logging.getLogger("a").info("outside")

    within, outside = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (within["trace_id"], within["span_id"]) == ("0000000000000000000000000000000a", "000000000000000b")
    assert outside["trace_id"] == "of the caller"
    assert "span_id" not in outside

"""A CONSUMER span around each handler, linked to the span that dispatched the job (OTel messaging semconv 1.37).

Only where a real tracer provider is set; a worker without one never looks at headers.
"""

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer

from protojobs_worker.context import Attempt
from protojobs_worker.outcomes import Failed, Outcome


class Tracing:
    """Opens and closes the span of each attempt."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @staticmethod
    def if_configured() -> "Tracing | None":
        """Return None unless the application has set a tracer provider."""
        provider = trace.get_tracer_provider()
        if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
            return None
        return Tracing(provider.get_tracer("protojobs_worker"))

    def enter(self, attempt: Attempt) -> None:
        """Start the span and make it current in the attempt's own context."""
        job = attempt.job
        created = propagate.extract(dict(job.spec.headers), context=otel_context.Context())
        origin = trace.get_current_span(created).get_span_context()
        span = self._tracer.start_span(
            f"process {job.spec.queue}",
            context=otel_context.Context(),
            kind=SpanKind.CONSUMER,
            links=[Link(origin)] if origin.is_valid else [],
            attributes={
                "messaging.system": "protojobs",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": job.spec.queue,
                "messaging.message.id": attempt.lease.job_id,
                "protojobs.job.kind": job.spec.kind,
                "protojobs.job.attempt": attempt.lease.attempt,
            },
        )
        # Never detached: the attempt's context is its own and ends with it. Baggage of the producer comes along.
        otel_context.attach(trace.set_span_in_context(span, created))
        attempt.span = span

    def leave(self, attempt: Attempt, outcome: Outcome) -> None:
        """End the span; a failure marks it."""
        span: Span | None = attempt.span
        if span is None:
            return
        if isinstance(outcome, Failed):
            span.set_attribute("error.type", outcome.error.type)
            span.set_status(StatusCode.ERROR, outcome.error.message)
            if outcome.cause is not None:
                span.record_exception(outcome.cause)
        span.end()

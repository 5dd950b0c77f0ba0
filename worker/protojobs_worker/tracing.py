"""A CONSUMER span around each handler, linked to the span that created the job or within its trace (messaging conventions of 1.44),
and the time that the handler took.

Only where the application has set a provider; a worker without one never looks at headers.
"""

from time import perf_counter

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from protojobs_client import conventions as names
from protojobs_client.telemetry import Instruments, current_tracer, operation

from protojobs_worker.context import Attempt
from protojobs_worker.options import TraceParent
from protojobs_worker.outcomes import Failed, Outcome


class Tracing:
    """Opens and closes the span of each attempt."""

    def __init__(
        self,
        tracer: Tracer | None,
        instruments: Instruments | None = None,
        *,
        trace_parent: TraceParent = "link",
        worker: str = "",
    ) -> None:
        self._tracer = tracer
        self._instruments = instruments
        self._continues = trace_parent == "continue"
        self._worker = worker

    @staticmethod
    def if_configured(*, trace_parent: TraceParent, worker: str) -> "Tracing | None":
        """Return None unless the application has set a provider."""
        tracer, instruments = current_tracer("protojobs_worker", "proto-jobs-worker"), Instruments.current()
        if tracer is None and instruments is None:
            return None
        return Tracing(tracer, instruments, trace_parent=trace_parent, worker=worker)

    def enter(self, attempt: Attempt) -> None:
        """Start the span and make it current in the attempt's own context."""
        if self._tracer is None:
            return
        spec, lease = attempt.job.spec, attempt.lease
        headers = dict(spec.headers)
        # From nothing: neither the stream's span nor that of whoever runs the worker is the parent.
        context = propagate.extract(headers, context=Context()) if self._continues else Context()
        span = self._tracer.start_span(
            f"process {spec.queue}",
            context=context,
            kind=SpanKind.CONSUMER,
            attributes=operation("process", "process", spec.queue)
            | {
                names.MESSAGE_ID: lease.job_id,
                names.CLIENT_ID: self._worker,
                names.KIND: spec.kind,
                names.ATTEMPT: lease.attempt,
                names.PRIORITY: spec.priority or 5,
            },
        )
        # Reading headers costs more than all the rest: where a sampler keeps few, most jobs are not worth it.
        if not self._continues and headers and (span.is_recording() or "baggage" in headers):
            context = propagate.extract(headers, context=context)
            origin = trace.get_current_span(context).get_span_context()
            if origin.is_valid:
                span.add_link(origin)
        # Never detached: the attempt's context is its own and ends with it. Baggage of the producer comes along.
        otel_context.attach(trace.set_span_in_context(span, context))
        attempt.span = span

    def leave(self, attempt: Attempt, outcome: Outcome) -> None:
        """End the span; a failure marks it."""
        error = outcome.error.type if isinstance(outcome, Failed) else None
        if self._instruments is not None:
            attributes = operation("process", "process", attempt.job.spec.queue)
            told = attributes if error is None else attributes | {names.ERROR_TYPE: error}
            self._instruments.processes.record(perf_counter() - attempt.entered_at, told)
        span: Span | None = attempt.span
        if span is None:
            return
        if isinstance(outcome, Failed):
            span.set_attribute(names.ERROR_TYPE, outcome.error.type)
            span.set_status(StatusCode.ERROR, outcome.error.message)
            if outcome.cause is not None:
                span.record_exception(outcome.cause)
        span.end()

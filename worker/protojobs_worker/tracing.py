"""A CONSUMER span around each handler, linked to the span that created the job or within its trace (messaging conventions of 1.44),
and the time that the handler took.

Only where the application has set a provider; a worker without one never looks at headers.
"""

from collections.abc import Mapping
from time import perf_counter
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, Tracer
from protojobs_client import conventions as names
from protojobs_client.telemetry import Instruments, current_tracer, named_context, operation

from protojobs_worker.context import Attempt
from protojobs_worker.options import TraceParent
from protojobs_worker.outcomes import ErrorInfo, Failed, Outcome

_TRACEPARENT: Final = "traceparent"
_BAGGAGE: Final = "baggage"
# https://www.w3.org/TR/trace-context/#traceparent-header: version 00, two ids, flags of which the last bit says sampled.
_TRACEPARENT_LENGTH: Final = 55
_NOT_SAMPLED: Final = "02468ace"
# As the SDK describes a sampler that keeps nothing whose parent elsewhere was not kept: all parentbased_* of OTEL_TRACES_SAMPLER.
_FOLLOWS: Final = "remoteParentNotSampled:AlwaysOffSampler"


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
        self._follows = self._continues and _follows_parents(tracer)
        self._worker = worker
        # Of as many queues as the worker takes jobs from.
        self._attributes: dict[str, dict[str, str | int]] = {}

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
        headers = attempt.job.spec.headers
        # From nothing: neither the stream's span nor that of whoever runs the worker is the parent.
        context = Context()
        parent = headers.get(_TRACEPARENT, "") if self._follows else ""
        if len(parent) == _TRACEPARENT_LENGTH and parent.startswith("00-") and parent[-1] in _NOT_SAMPLED:
            # The sampler would say no: to ask it costs several times as much as all the rest.
            span: Span = _NotKept(parent)
            if _BAGGAGE in headers:
                context = propagate.extract(dict(headers), context=context)
        else:
            if self._continues:
                context = propagate.extract(dict(headers), context=context)
            span = self._start(self._tracer, attempt, context)
            # Reading headers costs more than all the rest: where a sampler keeps few, most jobs are not worth it.
            if not self._continues and headers and (span.is_recording() or _BAGGAGE in headers):
                context = _link(span, dict(headers), context)
        # Never detached: the attempt's context is its own and ends with it. Baggage of the producer comes along.
        otel_context.attach(trace.set_span_in_context(span, context))
        attempt.span = span

    def _start(self, tracer: Tracer, attempt: Attempt, context: Context) -> Span:
        lease, spec = attempt.lease, attempt.job.spec
        # At the start only what samplers judge by.
        of_job = {**self._of(spec.queue), names.CLIENT_ID: self._worker, names.MESSAGE_ID: lease.job_id}
        span = tracer.start_span(f"process {spec.queue}", context, SpanKind.CONSUMER, of_job)
        if span.is_recording():
            span.set_attributes({names.KIND: spec.kind, names.ATTEMPT: lease.attempt, names.PRIORITY: spec.priority or 5})
        return span

    def _of(self, queue: str) -> dict[str, str | int]:
        found = self._attributes.get(queue)
        if found is None:
            found = self._attributes[queue] = operation("process", "process", queue)
        return found

    def leave(self, attempt: Attempt, outcome: Outcome) -> None:
        """End the span; a failure marks it."""
        error = outcome.error.type if isinstance(outcome, Failed) else None
        if self._instruments is not None:
            attributes = self._of(attempt.job.spec.queue)
            told = attributes if error is None else attributes | {names.ERROR_TYPE: error}
            self._instruments.processes.record(perf_counter() - attempt.entered_at, told)
        span: Span | None = attempt.span
        if span is None:
            return
        if isinstance(outcome, Failed):
            span.set_attribute(names.ERROR_TYPE, outcome.error.type)
            span.set_status(StatusCode.ERROR, outcome.error.message)
            if outcome.cause is not None:
                span.add_event(names.EXCEPTION, _told(outcome.error))
        span.end()


def _told(error: ErrorInfo) -> dict[str, str]:
    """Describe an exception as `Span.record_exception` does, which calls the `__str__` of the handler's code once more."""
    return {
        names.EXCEPTION_TYPE: error.type,
        names.EXCEPTION_MESSAGE: error.message,
        names.EXCEPTION_STACK: error.stack,
    }


class _NotKept(NonRecordingSpan):
    """The span of an attempt in a trace that is not kept. Which trace that is, is read only when somebody asks."""

    def __init__(self, parent: str) -> None:
        self._parent = parent

    def get_span_context(self) -> SpanContext:
        """Return the one that the job names: whatever is made within belongs to its trace, and is not kept either."""
        return named_context({_TRACEPARENT: self._parent})


def _follows_parents(tracer: Tracer | None) -> bool:
    """Tell whether the sampler is known to keep nothing within a trace that is not kept."""
    describe = getattr(getattr(tracer, "sampler", None), "get_description", None)
    return describe is not None and _FOLLOWS in describe()


def _link(span: Span, headers: Mapping[str, str], context: Context) -> Context:
    """Link to the span that created the job, and return what its producer sent along."""
    context = propagate.extract(headers, context=context)
    origin = trace.get_current_span(context).get_span_context()
    if origin.is_valid:
        span.add_link(origin)
    return context

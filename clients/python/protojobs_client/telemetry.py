"""What a client and a worker tell OpenTelemetry, of whose parts they need the API only.

Nothing at all unless the application has set a provider: then one look at it is all that an operation costs. Spans and metrics are
made per operation, which is a whole batch; a job of its own gets a span where its batch is recorded.
"""

from collections import Counter as Counts
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from time import perf_counter
from typing import Final, Self, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Counter, Histogram
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, Tracer

from protojobs_client import conventions as names
from protojobs_client.errors import ProtoJobsError
from protojobs_client.options import Options
from protojobs_client.outcome import DispatchResult, Refused
from protojobs_client.request import JobRequest
from protojobs_client.trace import trace_fields

_SILENCE: Final = nullcontext[None]()

MadeT = TypeVar("MadeT")

_SCOPE = "protojobs_client"
_DEFAULT_QUEUE = "default"
_BATCH = "dispatch_batch"
_CLIENT = "proto-jobs-client"
_API = ("opentelemetry.trace", "opentelemetry.metrics")


def current_tracer(scope: str = _SCOPE, distribution: str = _CLIENT) -> Tracer | None:
    """Return the tracer of the application's provider; None unless it has set one."""
    provider = trace.get_tracer_provider()
    if type(provider).__module__.startswith(_API):
        return None
    return provider.get_tracer(scope, _version(distribution), schema_url=names.SCHEMA_URL)


@lru_cache
def _version(distribution: str) -> str:
    return version(distribution)  # reads files


@dataclass(frozen=True, slots=True)
class Instruments:
    """The metrics of an application's provider."""

    provider: metrics.MeterProvider
    operations: Histogram
    processes: Histogram
    sent: Counter
    consumed: Counter
    calls: Histogram

    @staticmethod
    def current(known: "Instruments | None" = None) -> "Instruments | None":
        """Return those of the application's provider, `known` if it is theirs; None unless it has set one."""
        provider = metrics.get_meter_provider()
        if known is not None and known.provider is provider:
            return known
        if type(provider).__module__.startswith(_API):
            return None
        meter = provider.get_meter(_SCOPE, version(_CLIENT), names.SCHEMA_URL)

        def seconds(name: str, description: str) -> Histogram:
            buckets = names.DURATION_BUCKETS
            return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=buckets)

        return Instruments(
            provider,
            operations=seconds(names.OPERATION_DURATION, "Time of operations of a client: dispatches, deliveries, settles."),
            processes=seconds(names.PROCESS_DURATION, "Time of handlers."),
            sent=meter.create_counter(names.SENT, "{message}", "Jobs that were to be dispatched."),
            consumed=meter.create_counter(names.CONSUMED, "{message}", "Jobs that were delivered, each attempt once."),
            calls=seconds(names.RPC_CLIENT_DURATION, "Time of unary RPCs, each try of its own."),
        )


def named_context(headers: Mapping[str, str]) -> SpanContext:
    """Return the span that a job's headers name, which may be no valid one."""
    return trace.get_current_span(propagate.extract(headers, context=Context())).get_span_context()


def operation(name: str, kind_of: str, queue: str | None) -> dict[str, str | int]:
    """Return the attributes that every operation on jobs has. queue None: there are several."""
    found: dict[str, str | int] = {names.SYSTEM: "protojobs", names.OPERATION: name, names.OPERATION_TYPE: kind_of}
    if queue is not None:
        found[names.DESTINATION] = queue
    return found


def server_attributes(options: Options) -> dict[str, str | int]:
    """Return where the server is, as far as the options name one."""
    host, port = options.endpoint
    found: dict[str, str | int] = {names.SERVER_ADDRESS: host} if host else {}
    return found | {names.SERVER_PORT: port} if port else found


class Telemetry:
    """What one client tells."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._instruments: Instruments | None = None

    def sending(self, name: str, request: JobRequest) -> "AbstractContextManager[Sending | None]":
        """Make the PRODUCER span of one job, current for what is within, and count it. Gives None where nobody listens."""
        tracer, instruments = self._listeners()
        if tracer is None and instruments is None:
            return _SILENCE
        queue = request.options.queue or _DEFAULT_QUEUE
        attributes = operation(name, "send", queue) | server_attributes(self._options)
        span: Span = trace.INVALID_SPAN
        if tracer is not None:
            of_job = attributes | _of_job(request)
            span = tracer.start_span(f"{name} {queue}", kind=SpanKind.PRODUCER, links=_links(request), attributes=of_job)
        return Sending(span, attributes, instruments, [queue])

    def sending_many(self, requests: Sequence[JobRequest]) -> "AbstractContextManager[Sending | None]":
        """Make the span of a batch, current for what is within, and count its jobs. Gives None where nobody listens.

        Where the batch is recorded, and unless `Options.create_spans` is off, each job gets a PRODUCER span by `Sending.create`.
        """
        tracer, instruments = self._listeners()
        if not requests or (tracer is None and instruments is None):
            return _SILENCE
        queues = [request.options.queue or _DEFAULT_QUEUE for request in requests]
        queue = queues[0] if len(set(queues)) == 1 else None
        attributes = operation(_BATCH, "send", queue) | server_attributes(self._options)
        span: Span = trace.INVALID_SPAN
        creates = self._options.create_spans
        if tracer is not None:
            span = tracer.start_span(
                f"{_BATCH} {queue}" if queue else _BATCH,
                kind=SpanKind.CLIENT if creates else SpanKind.PRODUCER,
                attributes=attributes | {names.BATCH_COUNT: len(requests)},
            )
        sending = Sending(span, attributes, instruments, queues)
        if tracer is not None and creates and span.is_recording():
            inside = trace.get_current_span().get_span_context().is_valid
            sending.creates_with(tracer, otel_context.get_current() if inside else trace.set_span_in_context(span))
        return sending

    def _listeners(self) -> tuple[Tracer | None, Instruments | None]:
        self._instruments = Instruments.current(self._instruments)
        return current_tracer(), self._instruments


@dataclass(slots=True)
class Sending:
    """A dispatch that is under way: its span, and what is counted of it."""

    span: Span
    _attributes: Mapping[str, str | int]
    _instruments: Instruments | None
    _queues: Sequence[str]
    _began: float = field(default_factory=perf_counter)
    _token: object = None
    _results: Sequence[DispatchResult] = ()
    _tracer: Tracer | None = None
    _parent: Context | None = None

    def __enter__(self) -> Self:
        if self.span is not trace.INVALID_SPAN:
            self._token = otel_context.attach(trace.set_span_in_context(self.span))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        if self._token is not None:
            otel_context.detach(self._token)  # type: ignore[arg-type] # what attach has given
        failed = None if error is None else _error_type(error)
        self._count(failed)
        if failed is None and len(self._results) == 1 and isinstance(refused := self._results[0], Refused):
            failed = _error_type(refused.error)
        if failed is not None:
            self.span.set_attribute(names.ERROR_TYPE, failed)
            self.span.set_status(StatusCode.ERROR)
        self.span.end()

    def ended(self, results: Sequence[DispatchResult]) -> None:
        """Note what became of the jobs, in order."""
        self._results = results
        if self._attributes[names.OPERATION] != _BATCH:
            self.span.set_attribute(names.MESSAGE_ID, results[0].job_id)

    def creates_with(self, tracer: Tracer, parent: Context) -> None:
        """Let `create` make spans, under `parent`."""
        self._tracer, self._parent = tracer, parent

    @property
    def creates(self) -> bool:
        """Tell whether each job gets a span."""
        return self._tracer is not None

    def create(
        self, request: JobRequest, baggage: tuple[str, ...], make: Callable[[Mapping[str, str]], tuple[str, MadeT]]
    ) -> MadeT:
        """Make the span of a job around `make`, which takes the headers that name it and gives the job's id beside the job."""
        assert self._tracer is not None, "asked for by `creates`"
        queue = request.options.queue or _DEFAULT_QUEUE
        attributes = operation("create", "create", queue) | _of_job(request)
        links = _links(request)
        span = self._tracer.start_span(f"create {queue}", self._parent, SpanKind.PRODUCER, attributes, links)
        job_id, made = make(trace_fields(baggage, trace.set_span_in_context(span)))
        span.set_attribute(names.MESSAGE_ID, job_id)
        span.end()
        self.span.add_link(span.get_span_context())
        return made

    def _count(self, failed: str | None) -> None:
        if self._instruments is None:
            return
        seconds = perf_counter() - self._began
        told = dict(self._attributes)
        if failed is not None:
            told[names.ERROR_TYPE] = failed
        self._instruments.operations.record(seconds, told)
        errors = [_error_type(each.error) if isinstance(each, Refused) else failed for each in self._results]
        for (queue, error), count in Counts(zip(self._queues, errors or [failed] * len(self._queues), strict=False)).items():
            each = told | {names.DESTINATION: queue}
            self._instruments.sent.add(count, each if error is None else each | {names.ERROR_TYPE: error})


def created(request: JobRequest, job_id: str) -> Mapping[str, str]:
    """Make the PRODUCER span of a job that another will dispatch, and return the headers that name it.

    Without a provider they name the current span.
    """
    tracer = current_tracer()
    if tracer is None:
        return trace_fields()
    queue = request.options.queue or _DEFAULT_QUEUE
    attributes = operation("create", "create", queue) | _of_job(request) | {names.MESSAGE_ID: job_id}
    span = tracer.start_span(f"create {queue}", kind=SpanKind.PRODUCER, links=_links(request), attributes=attributes)
    span.end()
    return trace_fields((), trace.set_span_in_context(span))


def _of_job(request: JobRequest) -> dict[str, str | int]:
    found: dict[str, str | int] = {names.KIND: request.kind}
    if request.options.priority is not None:
        found[names.PRIORITY] = request.options.priority
    return found


def _links(request: JobRequest) -> list[Link]:
    """Link to the context that the caller has given the job, which stays the one that travels."""
    if "traceparent" not in request.options.headers:
        return []
    named = named_context(request.options.headers)
    return [Link(named)] if named.is_valid else []


def _error_type(error: BaseException) -> str:
    return (error.reason or error.code.name) if isinstance(error, ProtoJobsError) else type(error).__name__

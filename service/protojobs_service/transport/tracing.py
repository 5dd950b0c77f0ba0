"""Spans of the server: SERVER around each unary RPC of ours, in the trace that its metadata names; PRODUCER for scheduled jobs.

Streams get none: one that lives for half an hour says nothing, and would become the parent of everything in it. What a job's
headers say of a trace is another matter, and stays untouched.
"""

import asyncio
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context as TraceContext
from opentelemetry.trace import Link, SpanKind, StatusCode, Tracer
from protojobs.v1 import job_pb2

from protojobs_service import conventions
from protojobs_service.domain.bounds import DEFAULT_QUEUE
from protojobs_service.domain.errors import JobsError
from protojobs_service.transport.call import Call, Proceed

# What the conventions call an error of a server; everything else is one of its caller.
_SERVER_ERRORS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


@dataclass(slots=True)
class RpcSpans:
    """Makes the span, current for whatever the handler does."""

    tracer: Tracer

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Run the call within its span."""
        if call.rpc.is_stream or not call.rpc.is_ours:
            return await proceed(call)
        metadata = {key: value for key, value in call.context.invocation_metadata() or () if isinstance(value, str)}
        parent = propagate.extract(metadata, context=TraceContext())
        span = self.tracer.start_span(
            call.rpc.path[1:],
            context=parent,
            kind=SpanKind.SERVER,
            attributes={conventions.RPC_SYSTEM: "grpc", conventions.RPC_METHOD: call.rpc.path[1:]},
        )
        token = otel_context.attach(trace.set_span_in_context(span, parent))
        code = grpc.StatusCode.CANCELLED
        try:
            answer = await proceed(call)
            code = call.code
            return answer
        except asyncio.CancelledError:
            raise
        except BaseException:
            code = call.code
            raise
        finally:
            otel_context.detach(token)
            span.set_attribute(conventions.RPC_STATUS, code.name)
            if is_server_error(code):
                span.set_attribute(conventions.ERROR_TYPE, code.name)
                span.set_status(StatusCode.ERROR)
            span.end()


@contextmanager
def creating(tracer: Tracer, template: job_pb2.JobSpec, job_id: str) -> Generator[Mapping[str, str]]:
    """Make the PRODUCER span of a job that the server creates, and give the headers that name it.

    A root, or within the call that asked for the job; linked to the span that the template names. Where the span is not sampled
    the template's own context stays, for who follows it finds something there.
    """
    named = trace.get_current_span(propagate.extract(template.headers, context=TraceContext())).get_span_context()
    queue = template.queue or DEFAULT_QUEUE
    span = tracer.start_span(
        f"create {queue}",
        kind=SpanKind.PRODUCER,
        links=[Link(named)] if named.is_valid else [],
        attributes={
            conventions.SYSTEM: "protojobs",
            conventions.OPERATION: "create",
            conventions.OPERATION_TYPE: "create",
            conventions.DESTINATION: queue,
            conventions.MESSAGE_ID: job_id,
            conventions.KIND: template.kind,
        },
    )
    headers: dict[str, str] = {}
    if span.is_recording() or not named.is_valid:
        propagate.inject(headers, context=trace.set_span_in_context(span, TraceContext()))
    try:
        yield headers
    except JobsError as error:
        span.set_attribute(conventions.ERROR_TYPE, error.reason)
        span.set_status(StatusCode.ERROR)
        raise
    finally:
        span.end()


def is_server_error(code: grpc.StatusCode) -> bool:
    """Tell whether the conventions count a call that ended so as an error of the server."""
    return code in _SERVER_ERRORS


def rpc_spans(tracer: Tracer | None) -> tuple[RpcSpans, ...]:
    """Return the interceptor, none where nobody wants spans or OpenTelemetry's own instrumentation of gRPC makes them already."""
    contrib: Any = sys.modules.get("opentelemetry.instrumentation.grpc")
    served = contrib is not None and contrib.GrpcAioInstrumentorServer().is_instrumented_by_opentelemetry
    return () if tracer is None or served else (RpcSpans(tracer),)

"""A CLIENT span and a duration of each try of a unary RPC; its metadata names the span (RPC conventions of 1.44).

On the channel only where the application had set a provider when it was opened, and OpenTelemetry's own instrumentation of gRPC
does not do the same. The context of a job travels in its headers, and is another.
"""

import sys
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, TypeVar

import grpc
from grpc import aio
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from typing_extensions import override

from protojobs_client import conventions as names
from protojobs_client.options import Options
from protojobs_client.telemetry import Instruments, current_tracer, server_attributes

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


def rpc_interceptors(options: Options) -> list[aio.ClientInterceptor]:
    """Return what tells of unary calls, nothing where nobody listens."""
    contrib: Any = sys.modules.get("opentelemetry.instrumentation.grpc")
    called = contrib is not None and contrib.GrpcAioInstrumentorClient().is_instrumented_by_opentelemetry
    tracer, instruments = None if called else current_tracer(), Instruments.current()
    return [] if tracer is None and instruments is None else [_RpcTelemetry(tracer, instruments, options)]


class _RpcTelemetry(aio.UnaryUnaryClientInterceptor):
    def __init__(self, tracer: Tracer | None, instruments: Instruments | None, options: Options) -> None:
        self._tracer = tracer
        self._instruments = instruments
        self._attributes: dict[str, str | int] = {names.RPC_SYSTEM: "grpc"}
        self._attributes |= server_attributes(options)

    @override
    async def intercept_unary_unary(
        self,
        continuation: Callable[[aio.ClientCallDetails, RequestT], Awaitable[aio.UnaryUnaryCall[RequestT, ResponseT]]],
        client_call_details: aio.ClientCallDetails,
        request: RequestT,
    ) -> ResponseT | aio.UnaryUnaryCall[RequestT, ResponseT]:
        method = _text(client_call_details.method)
        attributes = self._attributes | {names.RPC_METHOD: method}
        span: trace.Span = trace.INVALID_SPAN
        if self._tracer is not None:
            span = self._tracer.start_span(method, kind=SpanKind.CLIENT, attributes=attributes)
            client_call_details = _naming(span, client_call_details)
        code, began = grpc.StatusCode.CANCELLED, perf_counter()
        try:
            call = await continuation(client_call_details, request)
            code = await call.code()
            return call
        finally:
            attributes = attributes | {names.RPC_STATUS: code.name}
            if code is not grpc.StatusCode.OK:
                attributes = attributes | {names.ERROR_TYPE: code.name}
                span.set_status(StatusCode.ERROR)
            span.set_attributes(attributes)
            span.end()
            if self._instruments is not None:
                self._instruments.calls.record(perf_counter() - began, attributes)


def _naming(span: trace.Span, details: aio.ClientCallDetails) -> aio.ClientCallDetails:
    fields: dict[str, str] = {}
    # The span alone: baggage may hold what no server should.
    propagate.inject(fields, trace.set_span_in_context(span, Context()))
    metadata = aio.Metadata(*(details.metadata or ()), *fields.items())
    return aio.ClientCallDetails(details.method, details.timeout, metadata, details.credentials, details.wait_for_ready)


def _text(method: str | bytes) -> str:
    return (method.decode() if isinstance(method, bytes) else method).removeprefix("/")

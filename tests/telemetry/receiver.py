"""A receiver of OTLP: what a collector would get, in lists. It can also be one that hangs."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from typing_extensions import override

# Generated without types.
_ADD: tuple[Any, ...] = (
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server,
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server,
)


class Receiver(trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer):
    """Keeps spans and metrics. services: who sent each span. answers: cleared, an export waits until it is set."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.spans: list[Span] = []
        self.metrics: list[Metric] = []
        self.resources: list[Resource] = []
        self.services: dict[bytes, str] = {}
        self.called = threading.Event()
        self.answers = threading.Event()
        self.answers.set()

    @override
    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Take an export of either."""
        self.called.set()
        self.answers.wait()
        if isinstance(request, trace_service_pb2.ExportTraceServiceRequest):
            for sent in request.resource_spans:
                self.resources.append(sent.resource)
                spans = [span for scope in sent.scope_spans for span in scope.spans]
                self.spans += spans
                self.services |= {span.span_id: attributes(sent.resource)["service.name"] for span in spans}
            return trace_service_pb2.ExportTraceServiceResponse()
        for sent in request.resource_metrics:
            self.resources.append(sent.resource)
            self.metrics += [metric for scope in sent.scope_metrics for metric in scope.metrics]
        return metrics_service_pb2.ExportMetricsServiceResponse()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Receive on a free port as long as the context lasts."""
    receiver = Receiver()
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        for add in _ADD:
            add(receiver, server)
        receiver.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield receiver
        finally:
            receiver.answers.set()
            server.stop(0).wait()


def attributes(of: Any) -> dict[str, Any]:
    """Return the attributes of a span, link, data point or resource as Python values."""
    return {each.key: _value(each.value) for each in of.attributes}


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))

"""A proxy between peers of this version that makes each of them believe the other one to be of a later version.

Every message that passes, both ways and as deep as messages go, gets fields that this version of the contract does not have.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from protojobs.v1 import (
    admin_service_pb2,
    job_service_pb2,
    queue_service_pb2,
    schedule_service_pb2,
    server_service_pb2,
    worker_service_pb2,
)

# Field 1000, of the three wire types that a new field can have: nobody's yet.
UNKNOWN: Final = b"\xc0\x3e\x2a" + b"\xc2\x3e\x03new" + b"\xc1\x3e" + bytes(8)

_FILES: Final = (
    *(admin_service_pb2, job_service_pb2, queue_service_pb2, schedule_service_pb2, server_service_pb2, worker_service_pb2),
    health_pb2,
)
# A worker's stream holds two of them for as long as it lives.
_THREADS: Final = 64
# Seconds: what gRPC says is left of a call without a deadline is far above that.
_NO_DEADLINE: Final = 86_400.0

Serialized = Callable[[bytes], bytes]


@dataclass(slots=True)
class Seen:
    """What has passed: how many messages, by the type of the whole."""

    counts: dict[str, int]
    lock: threading.Lock

    def note(self, name: str) -> None:
        """Count one."""
        with self.lock:
            self.counts[name] = self.counts.get(name, 0) + 1


def with_unknown_fields(message: Message) -> Message:
    """Add fields of a later version to a message and to all within it. Google's own types never change."""
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for each in _messages(field, value):
                with_unknown_fields(each)
    if not message.DESCRIPTOR.full_name.startswith("google."):
        message.MergeFromString(UNKNOWN)
    return message


@contextmanager
def proxied(address: str) -> Iterator[tuple[str, Seen]]:
    """Run the proxy before a server; yields its address, and what passes."""
    seen = Seen({}, threading.Lock())
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(address, options) as channel, ThreadPoolExecutor(_THREADS) as threads:
        server = grpc.server(threads, options=options)
        for file in _FILES:
            for service in file.DESCRIPTOR.services_by_name.values():
                handlers = {method.name: _handler(channel, method, seen) for method in service.methods}
                server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}", seen
        finally:
            server.stop(0).wait()


def _messages(field: FieldDescriptor, value: Any) -> list[Message]:
    if not field.is_repeated:
        return [value]
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        return list(value.values()) if entry.fields_by_name["value"].type == FieldDescriptor.TYPE_MESSAGE else []
    return list(value)


def _changed(descriptor: Descriptor, seen: Seen) -> Serialized:
    if not descriptor.full_name.startswith("protojobs."):
        return lambda given: given
    kind = message_factory.GetMessageClass(descriptor)

    def change(given: bytes) -> bytes:
        seen.note(descriptor.name)
        return with_unknown_fields(kind.FromString(given)).SerializeToString()

    return change


def _handler(channel: grpc.Channel, method: MethodDescriptor, seen: Seen) -> "grpc.RpcMethodHandler[bytes, bytes]":
    path = f"/{method.containing_service.full_name}/{method.name}"
    asked, answered = _changed(method.input_type, seen), _changed(method.output_type, seen)
    arity = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    call = getattr(channel, arity)(path)

    def pass_on(request: Any, context: grpc.ServicerContext) -> Any:
        sent = map(asked, request) if method.client_streaming else asked(request)
        metadata = [(key, value) for key, value in context.invocation_metadata() if not key.startswith("grpc-")]
        start = call.future if arity.endswith("unary") else call
        left = context.time_remaining()
        ongoing = start(sent, metadata=metadata, timeout=left if left < _NO_DEADLINE else None)
        context.add_callback(ongoing.cancel)
        return ongoing

    def refuse(error: Any, context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata(error.trailing_metadata() or ())
        context.abort(error.code(), error.details() or "")

    def one(request: Any, context: grpc.ServicerContext) -> bytes:
        ongoing = pass_on(request, context)
        try:
            return answered(ongoing.result())
        except grpc.RpcError as error:
            refuse(error, context)
            raise

    def many(request: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
        ongoing = pass_on(request, context)
        try:
            yield from map(answered, ongoing)
        except grpc.RpcError as error:
            refuse(error, context)

    make: Callable[..., grpc.RpcMethodHandler[bytes, bytes]] = getattr(grpc, f"{arity}_rpc_method_handler")
    return make(many if method.server_streaming else one)

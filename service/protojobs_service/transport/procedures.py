"""Procedures out of servicers: bytes in, interceptors, parsing, the servicer's method, bytes out.

Handlers are registered from the service descriptors and get bytes, so that bytes which are no message meet our
own errors and an RPC that nobody has written is refused by name. A servicer is any object with one method per RPC:

- unary answers: `async def Name(self, request, context) -> response`
- streamed answers: an async generator, or `async def` that writes bytes with `context.write`
- streamed requests arrive as an async iterator

A method marked `@raw` gets bytes (or an iterator of bytes) instead of messages. A response may be a message or bytes. A method
marked `@long_poll` may wait, and is ended with Draining when the server goes; a stream must listen to `Drain` and end itself.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self, TypeAlias, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from protojobs_service.transport.call import Call, Context, Interceptor, Proceed, Rpc
from protojobs_service.transport.status import MalformedMessage, UnsupportedRpc

Service: TypeAlias = Any  # a ServiceDescriptor, of which protobuf has three unrelated classes
Parsed = TypeVar("Parsed", bound="Parseable")
F = TypeVar("F", bound=Callable[..., Any])


def raw(method: F) -> F:
    """Mark a servicer's method that parses its bytes itself."""
    method.__takes_bytes__ = True  # type: ignore[attr-defined] # a mark on a function
    return method


def long_poll(seconds: float) -> Callable[[F], F]:
    """Mark a servicer's method that may wait so long for something to happen, beside its own work."""

    def mark(method: F) -> F:
        method.__waits__ = seconds  # type: ignore[attr-defined] # a mark on a function
        return method

    return mark


def procedures(
    service: Service,
    servicer: object,
    interceptors: Sequence[Interceptor],
    *,
    essential: frozenset[str] = frozenset(),
    ends_work: frozenset[str] = frozenset(),
    cut_at_drain: bool = False,
) -> dict[str, "Procedure"]:
    """Return every RPC of a service's descriptor by its name, run through the interceptors, outermost first.

    RPCs that `servicer` lacks are refused as Unsupported. essential, ends_work: names of RPCs, see Rpc. cut_at_drain:
    the service's streams do not know how to end by themselves.
    """
    made: dict[str, Procedure] = {}
    for method in service.methods:
        implementation = getattr(servicer, method.name, None) or _unsupported(method)
        waits = getattr(implementation, "__waits__", 0.0)
        rpc = Rpc(
            path=f"/{service.full_name}/{method.name}",
            request=GetMessageClass(method.input_type),
            streams_in=method.client_streaming,
            streams_out=method.server_streaming,
            takes_bytes=getattr(implementation, "__takes_bytes__", False),
            waits=waits,
            essential=method.name in essential,
            ends_work=method.name in ends_work,
            cut_at_drain=cut_at_drain or waits > 0,
        )
        run: Proceed = _bind(rpc, implementation)
        for interceptor in reversed(interceptors):
            run = _wrap(interceptor, run)
        made[method.name] = Procedure(rpc, run)
    return made


class Procedure(NamedTuple):
    """An RPC and what runs it. The request of a call is bytes, or an iterator of bytes; so is the answer, or a message."""

    rpc: Rpc
    run: Proceed


def generic_handler(service: Service, made: Mapping[str, Procedure]) -> grpc.GenericRpcHandler:
    """Return gRPC's handler of a service."""
    handlers = {name: _method_handler(*procedure) for name, procedure in made.items()}
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


class Parseable(Protocol):
    """A message, or a twin of one."""

    @classmethod
    def FromString(cls, data: bytes, /) -> Self:  # noqa: N802 # protobuf's name
        """Parse; raises DecodeError."""
        ...


def parse(message: type[Parsed], data: bytes) -> Parsed:
    """Return the message that `data` is. Raises MalformedMessage."""
    try:
        return message.FromString(data)
    except DecodeError:
        raise MalformedMessage from None


def _bind(rpc: Rpc, implementation: Any) -> Proceed:
    """Return the innermost step: parse, call the servicer's method, serialise."""
    generates = inspect.isasyncgenfunction(implementation)

    async def run(call: Call) -> Any:
        request = call.request
        if not rpc.takes_bytes:
            request = _parse_each(rpc.request, request) if rpc.streams_in else parse(rpc.request, request)
        if generates:
            async for response in implementation(request, call.context):
                await call.context.write(response)
            return None
        return await implementation(request, call.context)

    return run


async def _parse_each(message: type[Message], frames: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for frame in frames:
        yield parse(message, frame)


def _serialize(response: Any) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


def _wrap(interceptor: Interceptor, inner: Proceed) -> Proceed:
    async def run(call: Call) -> Any:
        return await interceptor(call, inner)

    return run


def _method_handler(rpc: Rpc, run: Proceed) -> "grpc.RpcMethodHandler[Any, Any]":
    async def handle(request: Any, context: Context) -> Any:
        return await run(Call(rpc, request, context))

    make: Any = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[rpc.streams_in, rpc.streams_out]
    handler: grpc.RpcMethodHandler[Any, Any] = make(handle, response_serializer=_serialize)
    return handler


def _unsupported(method: MethodDescriptor) -> Callable[[Any, Context], Awaitable[Any]]:
    name = f"{method.containing_service.name}.{method.name}"

    async def refuse(request: Any, context: Context) -> Any:  # noqa: ARG001 # the shape of a handler
        raise UnsupportedRpc(name)

    return raw(refuse)

"""What every RPC goes through: bytes in, request id and log, span, errors, deadline, admission, parsing, bytes out.

Handlers are registered from the service descriptors and get bytes, so that bytes which are no message meet our
own errors and an RPC that nobody has written is refused by name. A servicer is any object with one method per RPC:

- unary answers: `async def Name(self, request, context) -> response`
- streamed answers: an async generator, or `async def` that writes bytes with `context.write`
- streamed requests arrive as an async iterator

A method marked `@raw` gets bytes (or an iterator of bytes) instead of messages. A response may be a message or bytes. A method
marked `@long_poll` may wait, and is ended with Draining when the server goes; a stream must listen to `Drain` and end itself.
"""

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, Protocol, Self, TypeAlias, TypeVar

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from protojobs_service import telemetry
from protojobs_service.application import deadline_in
from protojobs_service.domain.access import Principal
from protojobs_service.domain.errors import Draining, Overloaded
from protojobs_service.transport.status import (
    DETAILS_KEY,
    STATUS_CODES,
    DeadlinePassed,
    MalformedMessage,
    UnsupportedRpc,
    to_status,
)

Service: TypeAlias = Any  # a ServiceDescriptor, of which protobuf has three unrelated classes
Parsed = TypeVar("Parsed", bound="Parseable")
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger(__name__)
_MAX_REQUEST_ID = 64
# Time for a watcher of health to hear NOT_SERVING before its stream ends, s.
_LAST_WORDS = 0.1


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """What is fixed about an RPC. waits: seconds that it may spend waiting. essential: never refused for load.

    cut_at_drain: it only waits, and is ended when the server goes.
    """

    path: str
    request: type[Message]
    streams_in: bool
    streams_out: bool
    takes_bytes: bool
    waits: float
    essential: bool
    cut_at_drain: bool

    @property
    def is_stream(self) -> bool:
        """Tell whether either side streams."""
        return self.streams_in or self.streams_out

    @property
    def is_ours(self) -> bool:
        """Tell whether it is of our contract: health and reflection, asked all the time, are neither timed nor traced."""
        return not self.path.startswith("/grpc.")


@dataclass(slots=True)
class Call:
    """One RPC on its way through the interceptors. code: set when it has ended other than OK; principal: once it is proven."""

    rpc: Rpc
    request: Any
    context: Context
    request_id: str = ""
    principal: Principal | None = None
    code: grpc.StatusCode = grpc.StatusCode.OK


Proceed = Callable[[Call], Awaitable[Any]]


class Interceptor(Protocol):
    """Something around every call of any arity: what it gives is the answer, None where the answer was streamed."""

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Do something before and after `proceed(call)`, or instead of it."""
        ...


@dataclass(slots=True)
class RequestId:
    """Gives the call an id, tells it to the caller, and logs how the call ended."""

    version: str
    calls: telemetry.CallMeter

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Run the call under its request and trace id."""
        started = time.monotonic()
        trace_id = ""
        for key, value in call.context.invocation_metadata() or ():
            if key == "x-request-id" and isinstance(value, str) and len(value) <= _MAX_REQUEST_ID and value.isprintable():
                call.request_id = value
            elif key == "traceparent" and isinstance(value, str) and len(value) == 55:
                trace_id = value[3:35]
        call.request_id = call.request_id or telemetry.new_request_id()
        with telemetry.request_scope(request_id=call.request_id, trace_id=trace_id):
            call.context.set_trailing_metadata((("x-request-id", call.request_id), ("protojobs-version", self.version)))
            try:
                return await proceed(call)
            except asyncio.CancelledError:
                call.code = grpc.StatusCode.CANCELLED
                raise
            finally:
                seconds = time.monotonic() - started
                if call.rpc.is_ours:
                    self.calls.ended(call.rpc.path, call.code.name, None if call.rpc.is_stream else seconds)
                if _log.isEnabledFor(logging.DEBUG):
                    _log.debug("call ended", extra={"rpc": call.rpc.path, "code": call.code.name, "seconds": round(seconds, 6)})


@dataclass(slots=True)
class Errors:
    """Ends the call with the status of whatever is raised: never UNKNOWN, and nothing of an unexpected error leaks."""

    version: str

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Run the call; CancelledError and an abort of the handler's own pass."""
        try:
            return await proceed(call)
        except grpc.aio.AbortError:
            call.code = STATUS_CODES.get(_code_number(call.context.code()), grpc.StatusCode.ABORTED)
            raise
        except Exception as error:  # noqa: BLE001 # the last place that can answer
            status = to_status(error)
        call.code = STATUS_CODES[status.code]
        trailers = (
            (DETAILS_KEY, status.SerializeToString()),
            ("x-request-id", call.request_id),
            ("protojobs-version", self.version),
        )
        return await call.context.abort(call.code, status.message, trailers)


@dataclass(slots=True)
class Deadline:
    """Gives a deadline to unary calls that have none, and tells the store how long the caller waits."""

    default: timedelta

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Run the call; raises DeadlinePassed."""
        if call.rpc.is_stream:
            return await proceed(call)
        remaining = _remaining(call.context)
        if remaining is not None:  # gRPC cancels the call itself
            with deadline_in(remaining):
                return await proceed(call)
        seconds = self.default.total_seconds() + call.rpc.waits
        limit = asyncio.timeout(seconds)
        try:
            with deadline_in(seconds):
                async with limit:
                    return await proceed(call)
        except TimeoutError:
            if limit.expired():
                raise DeadlinePassed from None
            raise


class Drain:
    """Tells those who wait that this server is going; each ends in its own way."""

    def __init__(self) -> None:
        self.begun = False
        self._listeners: set[Callable[[], object]] = set()

    def begin(self) -> None:
        """Call every listener, once."""
        self.begun = True
        for listener in list(self._listeners):
            listener()

    @contextmanager
    def calling(self, listener: Callable[[], object]) -> Generator[None]:
        """Call `listener` when the drain begins, or now if it has, as long as the context lasts."""
        self._listeners.add(listener)
        try:
            if self.begun:
                listener()
            yield
        finally:
            self._listeners.discard(listener)


@dataclass(slots=True)
class CutAtDrain:
    """Ends calls that only wait for something to happen soon after the drain begins: a server's stop waits for every call."""

    drain: Drain

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Run the call; raises Draining for one that was cut."""
        if not call.rpc.cut_at_drain:
            return await proceed(call)
        limit = asyncio.timeout(None)

        def cut() -> None:
            limit.reschedule(asyncio.get_running_loop().time() + _LAST_WORDS)

        try:
            async with limit:
                with self.drain.calling(cut):
                    return await proceed(call)
        except TimeoutError:
            if limit.expired():
                raise Draining from None
            raise


@dataclass(slots=True)
class Admission:
    """Refuses what would be too much at once: unary calls and their bytes, and streams, each by an own bound.

    Refusing costs nothing, so a flood of calls ends here and not in the store.
    """

    max_calls: int
    max_bytes: int
    max_streams: int
    calls: int = 0
    call_bytes: int = 0
    streams: int = 0
    refused: int = 0

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Run the call if there is room; raises Overloaded."""
        if call.rpc.essential:
            return await proceed(call)
        if call.rpc.is_stream:
            if self.streams >= self.max_streams:
                self.refused += 1
                raise Overloaded("too many streams at this server")
            self.streams += 1
            try:
                return await proceed(call)
            finally:
                self.streams -= 1
        size = len(call.request)
        if self.calls >= self.max_calls or (self.calls and self.call_bytes + size > self.max_bytes):
            self.refused += 1
            raise Overloaded("too many calls at once")
        self.calls += 1
        self.call_bytes += size
        try:
            return await proceed(call)
        finally:
            self.calls -= 1
            self.call_bytes -= size


def procedures(
    service: Service,
    servicer: object,
    interceptors: Sequence[Interceptor],
    *,
    essential: frozenset[str] = frozenset(),
    cut_at_drain: bool = False,
) -> dict[str, "Procedure"]:
    """Return every RPC of a service's descriptor by its name, run through the interceptors, outermost first.

    RPCs that `servicer` lacks are refused as Unsupported. essential: names of RPCs that admission never refuses. cut_at_drain:
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


def _remaining(context: Context) -> float | None:
    # The stub says that there always is a deadline.
    remaining: float | None = context.time_remaining()
    return remaining


def _code_number(code: Any) -> int:
    if isinstance(code, grpc.StatusCode):
        number: int = code.value[0]
        return number
    return code if isinstance(code, int) else grpc.StatusCode.ABORTED.value[0]

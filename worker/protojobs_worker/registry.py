"""Which handler runs which kind, and how it is called.

What a handler takes is decided by its parameters:

    ()            nothing
    (ctx, data)   the `JobContext` and the decoded payload
    (x)           the context if `x` is annotated `JobContext`, or is not annotated and is called ctx, context or job;
                  else the decoded payload

A payload type is taken from `payload=`, else from the annotation of the data parameter if that is a dataclass, a
TypedDict or a pydantic model; `decoding.py` builds it.
"""

import asyncio
import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Iterator
from enum import Enum
from typing import Any, TypeGuard, cast, get_type_hints

from protojobs.v1 import worker_service_pb2 as wire
from protojobs_client.errors import UndecodableError
from protojobs_client.job import Job
from protojobs_client.payload import Codec, Payload, PayloadContext, PlainCodec, Use

from protojobs_worker.context import Attempt, JobContext
from protojobs_worker.decoding import decoder, typed

_CONTEXT_NAMES = frozenset({"ctx", "context", "job"})


class Pool(Enum):
    """Where a handler runs."""

    LOOP = "loop"  # on the worker's event loop: async handlers, and sync ones marked inline
    THREAD = "thread"  # on a thread of its own: sync handlers
    PROCESS = "process"  # in a process that can be killed: CPU-bound and untrusted code


class InvalidPayload(ValueError):
    """The payload is not what the handler expects; no retry can help."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HandlerOptions:
    """What may be said about a handler when it is registered."""

    pool: Pool | None = None
    inline: bool = False
    timeout: float | None = None
    payload: Any = None
    should_retry: Callable[[BaseException], bool] | None = None
    failed: Callable[[JobContext, BaseException], object] | None = None


class Handler:
    """A registered handler: how to decode for it, call it, and ask it about failures."""

    __slots__ = (
        "_decode", "codec", "decode", "failed", "invoke", "is_async", "kind", "options", "pool", "should_retry", "target",
        "timeout",
    )  # fmt: skip

    def __init__(
        self,
        kind: str,
        target: Callable[..., object] | type[Job],
        options: HandlerOptions,
        codec: Codec | None = None,
    ) -> None:
        self.kind = kind
        self.target = target
        self.options = options
        self.codec = None if type(codec) is PlainCodec else codec
        self.timeout = options.timeout
        self.should_retry: Callable[[BaseException], bool] | None
        self.failed: Callable[[Attempt, BaseException], object] | None
        function: Callable[..., object]
        if is_job_class(target):
            function = target.handle
            takes, annotation = _parameters(function, bound=True)
            self.invoke = _invoke_class(target, takes)
            self.should_retry = _class_should_retry(target)
            self.failed = _class_failed(target)
        else:
            function = target
            takes, annotation = _parameters(function, bound=False)
            self.invoke = _invoke_function(function, takes)
            self.should_retry = options.should_retry
            self.failed = None if options.failed is None else _function_failed(options.failed)
        self.is_async = _is_async(function)
        self.pool = _pool(kind, options, is_async=self.is_async)
        payload_type = options.payload if options.payload is not None else typed(annotation)
        self._decode = decoder(payload_type)
        self.decode: Callable[[wire.LeasedJob], Any] = self._decode_job

    def __repr__(self) -> str:
        return f"Handler({self.kind}, {self.pool.value})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Handler, (self.kind, self.target, self.options, self.codec)

    def open(self, job: wire.LeasedJob, sealed: bytes, content_type: str, use: Use = Use.PAYLOAD) -> Payload:
        """Return bytes of a job as its producer or an earlier attempt gave them. Raises UndecodableError."""
        stored = Payload(sealed, content_type)
        return stored if self.codec is None else self.codec.decode(stored, _context(job, use))

    def seal(self, job: wire.LeasedJob, plain: Payload, use: Use) -> bytes:
        """Return what the server stores."""
        return plain.data if self.codec is None else self.codec.encode(plain, _context(job, use)).data

    def _decode_job(self, job: wire.LeasedJob) -> Any:
        spec = job.spec
        payload, content_type = spec.payload, spec.content_type or "application/json"
        try:
            if self.codec is not None:
                plain = self.open(job, payload, content_type)
                payload, content_type = plain.data, plain.content_type
            return self._decode(payload, content_type)
        except UndecodableError as error:
            raise InvalidPayload(str(error)) from None
        except Exception as error:
            raise InvalidPayload(f"{type(error).__name__}: {error}") from error


def _context(job: wire.LeasedJob, use: Use) -> PayloadContext:
    return PayloadContext(kind=job.spec.kind, queue=job.spec.queue, use=use, job_id=job.job_id)


def is_job_class(target: Callable[..., object] | type[Job]) -> TypeGuard[type[Job]]:
    """Tell a Job class from a function."""
    return isinstance(target, type) and issubclass(target, Job)


class Registry:
    """The handlers of a worker, by kind."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self.get = self._handlers.get

    def __len__(self) -> int:
        return len(self._handlers)

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers.values())

    def add(self, handler: Handler) -> None:
        """Register a handler. Raises ValueError if its kind has one."""
        if handler.kind in self._handlers:
            raise ValueError(f"kind {handler.kind!r} has a handler already")
        self._handlers[handler.kind] = handler

    def kinds(self) -> list[str]:
        """List the kinds that can run here."""
        return sorted(self._handlers)


def _parameters(function: Callable[..., object], *, bound: bool) -> tuple[str, Any]:
    """Decide what a handler takes: "", "ctx", "data" or "both"; and the annotation of its data parameter."""
    signature = inspect.signature(function)
    try:
        hints = get_type_hints(function if inspect.isroutine(function) else type(function).__call__)
    except (NameError, TypeError):
        hints = {}
    positional = [
        parameter
        for parameter in list(signature.parameters.values())[1 if bound else 0 :]
        if parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}
    ]
    match positional:
        case []:
            return "", None
        case [only]:
            annotation = hints.get(only.name)
            is_context = annotation is JobContext or (annotation in {None, Any} and only.name in _CONTEXT_NAMES)
            return ("ctx", None) if is_context else ("data", annotation)
        case [_, data, *rest] if all(parameter.default is not parameter.empty for parameter in rest):
            return "both", hints.get(data.name)
        case _:
            raise TypeError("a handler takes (), (ctx), (data) or (ctx, data)")


def _invoke_function(function: Callable[..., object], takes: str) -> Callable[[Attempt], object]:
    match takes:
        case "":
            return lambda _attempt: function()
        case "ctx":
            return lambda attempt: function(JobContext(attempt))
        case "data":
            return lambda attempt: function(attempt.read_payload())
        case _:
            return lambda attempt: function(JobContext(attempt), attempt.read_payload())


def _invoke_class(job: type[Job], takes: str) -> Callable[[Attempt], object]:
    def invoke(attempt: Attempt) -> object:
        data = attempt.read_payload()
        handle = cast("Callable[..., object]", job(data).handle)
        match takes:
            case "":
                return handle()
            case "ctx":
                return handle(JobContext(attempt))
            case "data":
                return handle(data)
            case _:
                return handle(JobContext(attempt), data)

    return invoke


def _class_should_retry(job: type[Job]) -> Callable[[BaseException], bool] | None:
    if job.should_retry is Job.should_retry:
        return None
    return lambda error: job(None).should_retry(error)


def _class_failed(job: type[Job]) -> Callable[[Attempt, BaseException], object] | None:
    if job.failed is Job.failed:
        return None

    def failed(attempt: Attempt, error: BaseException) -> object:
        try:
            data = attempt.read_payload()
        except InvalidPayload:
            data = None
        return job(data).failed(JobContext(attempt), error)

    return failed


def _function_failed(
    function: Callable[[JobContext, BaseException], object],
) -> Callable[[Attempt, BaseException], object]:
    return lambda attempt, error: function(JobContext(attempt), error)


def _is_async(function: Callable[..., object]) -> bool:
    if inspect.iscoroutinefunction(function):
        return True
    call = getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__ is a handler too
    return inspect.iscoroutinefunction(call)


def _pool(kind: str, options: HandlerOptions, *, is_async: bool) -> Pool:
    if options.inline:
        if options.pool not in {None, Pool.LOOP}:
            raise ValueError(f"{kind}: an inline handler runs on the loop, not in a pool")
        return Pool.LOOP
    if options.pool is not None:
        return options.pool
    return Pool.LOOP if is_async else Pool.THREAD


def run_to_end(awaitable: object) -> object:
    """Run an async handler's coroutine on a private loop, for threads and processes."""

    async def wait() -> object:
        return await cast("Awaitable[object]", awaitable)

    return asyncio.run(wait())

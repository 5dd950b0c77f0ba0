"""What stands around every RPC: request id and log, errors, deadline, the end at a drain, admission."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio

from protojobs_service import telemetry
from protojobs_service.application import deadline_in
from protojobs_service.domain.counting import counted
from protojobs_service.domain.errors import Draining, Overloaded
from protojobs_service.transport.call import Call, Context, Proceed
from protojobs_service.transport.ending import ending
from protojobs_service.transport.limits import name_of
from protojobs_service.transport.status import DETAILS_KEY, STATUS_CODES, DeadlinePassed, to_status

_log = logging.getLogger(__name__)
_MAX_REQUEST_ID = 64
# Time for a watcher of health to hear NOT_SERVING before its stream ends, s.
_LAST_WORDS = 0.1


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
        try:
            async with limit:
                with self.drain.calling(ending(limit, _LAST_WORDS)):
                    return await proceed(call)
        except TimeoutError:
            if limit.expired():
                raise Draining from None
            raise


_RESERVE = 1.25
"""How many more calls there may be where one of them ends work."""
_SHARE = 0.75
"""Of the calls, that one caller may have at once."""


@dataclass(slots=True)
class Admission:
    """Refuses what would be too much at once: unary calls and their bytes, calls that wait, and streams, each by an own bound.

    Refusing costs nothing, so a flood of calls ends here and not in the store; and no caller may have all there is. Calls that wait
    are as many as streams at most, and take nothing from those that do something; a quarter more of these is for those that end
    work or keep it.
    """

    max_calls: int
    max_bytes: int
    max_streams: int
    calls: int = 0
    call_bytes: int = 0
    waiting: int = 0
    streams: int = 0
    refused: int = 0
    by_caller: Counter[str] = field(default_factory=Counter[str])

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
        if call.rpc.waits:
            if self.waiting >= self.max_streams:
                self.refused += 1
                raise Overloaded("too many calls that wait at this server")
            self.waiting += 1
            try:
                return await proceed(call)
            finally:
                self.waiting -= 1
        size = len(call.request)
        more = _RESERVE if call.rpc.ends_work else 1.0
        if self.calls >= self.max_calls * more or (self.calls and self.call_bytes + size > self.max_bytes * more):
            self.refused += 1
            raise Overloaded("too many calls at once")
        name = name_of(call)
        if self.by_caller[name] >= max(1, self.max_calls * _SHARE) * more:
            self.refused += 1
            raise Overloaded("this caller has too many calls at once", metadata={"limit": "calls_at_once"})
        self.calls += 1
        self.call_bytes += size
        try:
            with counted(self.by_caller, name):
                return await proceed(call)
        finally:
            self.calls -= 1
            self.call_bytes -= size


def _remaining(context: Context) -> float | None:
    # The stub says that there always is a deadline.
    remaining: float | None = context.time_remaining()
    return remaining


def _code_number(code: Any) -> int:
    if isinstance(code, grpc.StatusCode):
        number: int = code.value[0]
        return number
    return code if isinstance(code, int) else grpc.StatusCode.ABORTED.value[0]

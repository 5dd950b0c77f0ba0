"""One RPC under way, and what may stand around it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import Message

from protojobs_service.domain.access import Principal

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """What is fixed about an RPC. waits: seconds that it may spend waiting. essential: never refused for load.

    ends_work: it tells of jobs that run, and is refused for load after the calls that bring new ones.
    cut_at_drain: it only waits, and is ended when the server goes.
    """

    path: str
    request: type[Message]
    streams_in: bool
    streams_out: bool
    takes_bytes: bool
    waits: float
    essential: bool
    ends_work: bool
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

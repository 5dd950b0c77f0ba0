"""Calls from within the process: the same procedures as over gRPC, through the same interceptors, without a connection.

What the admin port offers is called this way, so that authentication, permission, limits, audit and errors are those of gRPC.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from protojobs_service.transport.call import Call, Context
from protojobs_service.transport.procedures import Procedure
from protojobs_service.transport.status import DETAILS_KEY

M = TypeVar("M", bound=Message)
Metadata = Sequence[tuple[str, str | bytes]]


class Refused(grpc.aio.AbortError):
    """The call ended with a status other than OK. status: with its details, as gRPC's callers get it."""

    def __init__(self, code: grpc.StatusCode, status: Status) -> None:
        super().__init__(status.message)
        self.code = code
        self.status = status


class LocalCalls:
    """Calls procedures by their path, `protojobs.v1.JobService/GetJob`."""

    def __init__(self, procedures: Mapping[str, Procedure]) -> None:
        self._procedures = procedures

    async def call(self, path: str, request: Message | bytes, answer: type[M], *, metadata: Metadata = (), peer: str = "") -> M:
        """Return the answer of a unary RPC. Raises Refused."""
        rpc, run = self._procedures[f"/{path}"]
        response = await run(Call(rpc, _bytes(request), cast("Context", LocalContext(metadata, peer))))
        return answer.FromString(_bytes(response))


class LocalContext:
    """What a servicer and the interceptors use of gRPC's context. It has no deadline of its own."""

    def __init__(self, metadata: Metadata, peer: str) -> None:
        self._metadata = tuple(metadata)
        self._peer = peer
        self._code = grpc.StatusCode.OK

    def invocation_metadata(self) -> Metadata:
        """Return what came with the call."""
        return self._metadata

    def set_trailing_metadata(self, _trailers: Any) -> None:
        """Drop them: an answer in hand needs no trailers."""

    async def send_initial_metadata(self, _metadata: Any) -> None:
        """Drop it."""

    def time_remaining(self) -> None:
        """Say that there is no deadline; the interceptors set one."""

    def peer(self) -> str:
        """Return where the call came from."""
        return self._peer

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        """Say that no certificate proves anything."""
        return {}

    def cancelled(self) -> bool:
        """Tell whether the caller has gone: then the task is cancelled."""
        return False

    def code(self) -> grpc.StatusCode:
        """Return how the call ended."""
        return self._code

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """End the call. Raises Refused."""
        self._code = code
        packed = dict(trailing_metadata).get(DETAILS_KEY)
        raise Refused(code, Status.FromString(packed) if packed else Status(code=code.value[0], message=details))


def _bytes(message: Message | bytes) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()

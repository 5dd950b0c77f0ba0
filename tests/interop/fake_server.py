"""A server whose every frame a test decides: what no real one can be made to do.

It takes bytes and gives bytes, so that a test can add fields that the contract does not have yet.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from protojobs.v1 import job_pb2, worker_service_pb2
from uuid_utils import uuid7

from tests.interop.waiting import PATIENCE

LEASE: Final = "/protojobs.v1.WorkerService/Lease"

TTL: Final = 30.0
_MANY: Final = 16

Answer = Callable[[bytes, "Call"], Message]


class Refused(Exception):
    """What a call is to be refused with; `details` go into google.rpc.Status."""

    def __init__(self, code: grpc.StatusCode, reason: str = "", *details: Message) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.details = details


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What came with a unary call."""

    path: str
    request: bytes
    metadata: Mapping[str, str]
    has_deadline: bool


class LeaseStream:
    """The server's side of one Lease stream."""

    def __init__(self, metadata: Mapping[str, str]) -> None:
        self.metadata = metadata
        self.frames: list[worker_service_pb2.LeaseRequest] = []
        """Every frame that was read by `expect`, in order."""
        self._in: queue.Queue[worker_service_pb2.LeaseRequest | None] = queue.Queue()
        self._out: queue.Queue[bytes | Refused | None] = queue.Queue()
        self._seq = 0
        self._received = 0

    # ---- what the test says --------------------------------------------------------------------------------

    def send(self, *, unknown: bytes = b"", **frame: Any) -> int:
        """Send a frame; return its number. `unknown`: bytes of fields that no version has, behind the others."""
        self._seq += 1
        message = worker_service_pb2.LeaseResponse(seq=self._seq, received_seq=self._received, **frame)
        self._out.put(message.SerializeToString() + unknown)
        return self._seq

    def welcome(self, *, ttl: float = TTL, heartbeat: float | None = None, **fields: Any) -> worker_service_pb2.Hello:
        """Read Hello, answer it, and return it."""
        hello = self.expect("hello").hello
        welcome = worker_service_pb2.Welcome(
            server_id="fake",
            limits=worker_service_pb2.LeaseLimits(
                max_result_bytes=256 * 1024,
                max_checkpoint_bytes=64 * 1024,
                max_receive_bytes=4 * 1024 * 1024,
                max_in_flight=100_000,
            ),
            **fields,
        )
        welcome.session_ttl.FromTimedelta(timedelta(seconds=ttl))
        welcome.heartbeat_interval.FromTimedelta(timedelta(seconds=ttl / 4 if heartbeat is None else heartbeat))
        self.send(welcome=welcome)
        return hello

    def deliver(self, *jobs: worker_service_pb2.LeasedJob) -> int:
        """Send jobs in one frame; return its number."""
        return self.send(deliver=worker_service_pb2.Deliver(items=jobs))

    def answer(
        self,
        *settles: worker_service_pb2.SettleItem,
        code: "worker_service_pb2.SettleCode.ValueType" = worker_service_pb2.SETTLE_CODE_OK,
    ) -> None:
        """Answer outcomes; by default they are accepted."""
        items = [
            worker_service_pb2.SettledItem(
                job_id=item.job_id, attempt=item.attempt, code=code, next_state=job_pb2.JOB_STATE_COMPLETED
            )
            for item in settles
        ]
        self.send(settled=worker_service_pb2.Settled(items=items))

    def end(self) -> None:
        """End the stream well."""
        self._out.put(None)

    def fail(self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE, reason: str = "DRAINING") -> None:
        """End the stream with an error."""
        self._out.put(Refused(code, reason))

    # ---- what the worker says ------------------------------------------------------------------------------

    def expect(
        self,
        kind: str | None = None,
        holds: Callable[[worker_service_pb2.LeaseRequest], bool] = lambda _: True,
        within: float = PATIENCE,
    ) -> worker_service_pb2.LeaseRequest:
        """Read until a frame of a kind comes for which something holds; return it. Fails where the worker ends the stream."""
        while True:
            frame = self._next(within)
            assert frame is not None, f"the worker has left the stream; it said {self.said()}"
            if (kind is None or frame.WhichOneof("frame") == kind) and holds(frame):
                return frame

    def settle(self, job_id: str, within: float = PATIENCE) -> worker_service_pb2.SettleItem:
        """Read until the outcome of a job comes; return it, in the long form."""
        while True:
            for item in settles(self.expect("settle", within=within)):
                if item.job_id == job_id:
                    return item

    def left(self, within: float = PATIENCE) -> None:
        """Read until the worker has ended or dropped the stream."""
        while self._next(within) is not None:
            pass

    def settled_so_far(self) -> list[worker_service_pb2.SettleItem]:
        """Return the outcomes that were read."""
        return [item for frame in self.frames for item in settles(frame)]

    def said(self) -> list[str | None]:
        """Return the kinds of frames that were read."""
        return [frame.WhichOneof("frame") for frame in self.frames]

    def _next(self, within: float) -> worker_service_pb2.LeaseRequest | None:
        try:
            frame = self._in.get(timeout=within)
        except queue.Empty:
            raise AssertionError(f"no frame within {within:g} s; the worker said {self.said()}") from None
        if frame is None:
            self._in.put(None)
        else:
            self.frames.append(frame)
        return frame

    # ---- what gRPC does ------------------------------------------------------------------------------------

    def serve(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Give what the test sends."""
        threading.Thread(target=self._listen, args=(requests,), daemon=True).start()
        context.add_callback(self.end)
        while (frame := self._out.get()) is not None:
            if isinstance(frame, Refused):
                _abort(context, frame)
            else:
                yield frame

    def _listen(self, requests: Iterator[bytes]) -> None:
        with suppress(Exception):  # however the worker leaves
            for data in requests:
                frame = worker_service_pb2.LeaseRequest.FromString(data)
                self._received = frame.seq
                self._in.put(frame)
        self._in.put(None)


@dataclass
class FakeServer:
    """Listens on a port of this machine. Calls without an answer end with UNIMPLEMENTED."""

    port: int = 0
    calls: list[Call] = field(default_factory=list[Call])
    answers: dict[str, Answer] = field(default_factory=dict[str, Answer])
    dispatches: "Callable[[Iterator[bytes], Call], Iterator[Message]] | None" = None
    """Serves DispatchStream, if anything."""
    refuses_streams: bool = False
    _streams: "queue.Queue[LeaseStream]" = field(default_factory=queue.Queue[LeaseStream])

    @property
    def address(self) -> str:
        """Return where it is."""
        return f"127.0.0.1:{self.port}"

    def stream(self, within: float = 2 * PATIENCE) -> LeaseStream:
        """Return the next stream that a worker opens."""
        try:
            return self._streams.get(timeout=within)
        except queue.Empty:
            raise AssertionError(f"no worker opens a stream within {within:g} s") from None

    def called(self, method: str) -> list[Call]:
        """Return the calls of a method so far."""
        return [call for call in list(self.calls) if call.path.endswith(f"/{method}")]

    def lease(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Serve a stream."""
        stream = LeaseStream(_metadata(context))
        if self.refuses_streams:
            _abort(context, Refused(grpc.StatusCode.UNAVAILABLE, "DRAINING"))
        self._streams.put(stream)
        yield from stream.serve(requests, context)

    def dispatch(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Serve a stream of a producer."""
        call = Call(path="DispatchStream", request=b"", metadata=_metadata(context), has_deadline=_has_deadline(context))
        self.calls.append(call)
        if self.dispatches is None:
            _abort(context, Refused(grpc.StatusCode.UNIMPLEMENTED))
        try:
            for answer in self.dispatches(requests, call):
                yield answer.SerializeToString()
        except Refused as refused:
            _abort(context, refused)

    def unary(self, path: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Answer a call."""
        call = Call(path=path, request=request, metadata=_metadata(context), has_deadline=_has_deadline(context))
        self.calls.append(call)
        answer = self.answers.get(path.rpartition("/")[2])
        if answer is None:
            _abort(context, Refused(grpc.StatusCode.UNIMPLEMENTED))
        try:
            return answer(request, call).SerializeToString()
        except Refused as refused:
            _abort(context, refused)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, server: FakeServer) -> None:
        self._server = server

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        path = str(handler_call_details.method)
        if path == LEASE:
            return grpc.stream_stream_rpc_method_handler(self._server.lease)
        if path.endswith("/DispatchStream"):
            return grpc.stream_stream_rpc_method_handler(self._server.dispatch)
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._server.unary(path, request, context))


@contextmanager
def fake_server() -> Iterator[FakeServer]:
    """Serve until the block ends."""
    pool = ThreadPoolExecutor(_MANY)
    fake = FakeServer()
    server = grpc.server(pool, handlers=[_Handlers(fake)], options=[("grpc.so_reuseport", 0)])
    fake.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield fake
    finally:
        server.stop(0).wait()
        pool.shutdown(wait=False, cancel_futures=True)


def job(kind: str, payload: bytes = b"", *, attempt: int = 1, job_id: str = "", **fields: Any) -> worker_service_pb2.LeasedJob:
    """Return a job as a server delivers it."""
    chosen = job_id or str(uuid7())
    spec = job_pb2.JobSpec(id=chosen, kind=kind, queue="main", payload=payload)
    leased = worker_service_pb2.LeasedJob(spec=spec, job_id=chosen, attempt=attempt, max_retries=3, **fields)
    if not leased.HasField("run_timeout"):
        leased.run_timeout.FromSeconds(300)
    return leased


def refs(*jobs: worker_service_pb2.LeasedJob) -> list[worker_service_pb2.LeaseRef]:
    """Return jobs by id and attempt."""
    return [worker_service_pb2.LeaseRef(job_id=each.job_id, attempt=each.attempt) for each in jobs]


def settles(frame: worker_service_pb2.LeaseRequest) -> list[worker_service_pb2.SettleItem]:
    """Return the outcomes of a frame, the short form unfolded."""
    return unfolded(frame.settle)


def unfolded(settle: worker_service_pb2.Settle) -> list[worker_service_pb2.SettleItem]:
    """Return outcomes with those of the short form in the long one."""
    short = [
        worker_service_pb2.SettleItem(job_id=job_id, attempt=group.attempt, complete=worker_service_pb2.Complete())
        for group in settle.completed
        for job_id in group.job_ids
    ]
    return [*settle.items, *short]


def violation(field_path: str, text: str) -> error_details_pb2.BadRequest:
    """Return the detail that names a field."""
    return error_details_pb2.BadRequest(
        field_violations=[error_details_pb2.BadRequest.FieldViolation(field=field_path, description=text)]
    )


def _abort(context: grpc.ServicerContext, refused: Refused) -> NoReturn:
    status = status_pb2.Status(code=refused.code.value[0], message=refused.reason)
    details: list[Message] = [*refused.details]
    if refused.reason:
        details.append(error_details_pb2.ErrorInfo(reason=refused.reason, domain="protojobs.dev"))
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(refused.code, refused.reason)


def _metadata(context: grpc.ServicerContext) -> dict[str, str]:
    return {key: str(value) for key, value in context.invocation_metadata()}


def _has_deadline(context: grpc.ServicerContext) -> bool:
    # Years are left of a call without one.
    return context.time_remaining() < 24 * 3600

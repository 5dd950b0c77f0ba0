"""One Lease stream: numbers frames, remembers what was heard when, and ends in exactly one way."""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TypeAlias

import grpc
from protojobs.v1 import worker_service_pb2 as wire
from protojobs_client.errors import ProtoJobsError, UnavailableError
from protojobs_client.statuses import translate

LeaseCall: TypeAlias = "grpc.aio.StreamStreamCall[wire.LeaseRequest, wire.LeaseResponse]"
OpenCall: TypeAlias = Callable[[], LeaseCall]

_WELCOME_SECONDS = 10.0


class StreamEnded(Exception):
    """The stream is over; `error` tells why, unless it simply ended."""

    def __init__(self, error: ProtoJobsError | None = None) -> None:
        super().__init__()
        self.error = error


class Stream:
    """A Lease stream from Hello on."""

    def __init__(self, call: LeaseCall, clock: Callable[[], float] = monotonic) -> None:
        self._call = call
        self._clock = clock
        self._seq = 0
        self._unanswered: deque[tuple[int, float]] = deque()
        now = clock()
        self.received_seq = 0
        self.last_read = now
        self.last_write = now
        # When the newest frame that the server says it has read was sent: its lease clock began no earlier.
        self.answered_at = now
        self.leave_at: float | None = None
        # When a frame that covers the newest Deliver must leave; None: one has left.
        self.receipt_at: float | None = None
        self.delivered_seq = 0
        self.goodbye_sent = False
        self.half_closed = False
        self._dropped = False
        self._hello: asyncio.Timeout | None = None

    async def hello(self, frame: wire.LeaseRequest) -> None:
        """Send the first frame. Raises StreamEnded."""
        try:
            async with asyncio.timeout(None) as self._hello:
                await self.write(frame, 0)
        except TimeoutError as error:
            raise StreamEnded from error
        finally:
            self._hello = None

    async def write(self, frame: wire.LeaseRequest, started_seq: int) -> None:
        """Send a frame; returns when it has left. Raises StreamEnded."""
        self._seq += 1
        frame.seq = self._seq
        frame.received_seq = self.received_seq
        frame.started_seq = started_seq
        now = self._clock()
        self._unanswered.append((self._seq, now))
        cancelling = _cancelling()
        try:
            await self._call.write(frame)
        except asyncio.CancelledError:
            if self._was_dropped(cancelling):
                raise StreamEnded from None
            raise
        except (grpc.RpcError, ProtoJobsError) as error:
            raise self._ended(error) from error
        except (asyncio.InvalidStateError, grpc.aio.UsageError) as error:
            raise StreamEnded(await self._why()) from error
        self.last_write = now
        # A Deliver that was read meanwhile is not covered by this frame.
        self.receipt_at = None if frame.received_seq >= self.delivered_seq else self._clock()

    async def read(self) -> wire.LeaseResponse:
        """Read a frame. Raises StreamEnded."""
        cancelling = _cancelling()
        try:
            frame = await self._call.read()
        except asyncio.CancelledError:
            if self._was_dropped(cancelling):
                raise StreamEnded from None
            raise
        except (grpc.RpcError, ProtoJobsError) as error:
            raise self._ended(error) from error
        if not isinstance(frame, wire.LeaseResponse):  # EOF
            raise StreamEnded(await self._why())
        self.last_read = self._clock()
        self.received_seq = frame.seq
        unanswered = self._unanswered
        while unanswered and unanswered[0][0] <= frame.received_seq:
            self.answered_at = unanswered.popleft()[1]
        return frame

    def delivered(self, receipt_at: float) -> bool:
        """Note that the frame just read was a Deliver. True: its receipt is to leave at `receipt_at`, no other is due."""
        self.delivered_seq = self.received_seq
        if self.receipt_at is not None:
            return False
        self.receipt_at = receipt_at
        return True

    def owes_receipt(self, now: float) -> bool:
        """Tell whether a Deliver must be acknowledged now."""
        return self.receipt_at is not None and now >= self.receipt_at

    async def welcome(self) -> wire.Welcome:
        """Read the first frame. Raises StreamEnded."""
        try:
            async with asyncio.timeout(_WELCOME_SECONDS):
                frame = await self.read()
        except TimeoutError as error:
            raise StreamEnded(UnavailableError("no Welcome within 10 s")) from error
        if frame.WhichOneof("frame") != "welcome":
            raise StreamEnded(ProtoJobsError("the first frame is not Welcome"))
        return frame.welcome

    async def half_close(self) -> None:
        """Say that no frame follows; the server then ends the stream."""
        self.half_closed = True
        try:
            await self._call.done_writing()
        except (grpc.RpcError, asyncio.InvalidStateError, grpc.aio.UsageError) as error:
            raise StreamEnded from error

    def leave(self) -> StreamEnded:
        """Return the end of a stream that this worker leaves of itself: whatever its call says from here on is no error."""
        self._dropped = True
        return StreamEnded()

    def cancel(self) -> None:
        """Drop the stream; whoever waits for it sees StreamEnded."""
        self._dropped = True
        self._call.cancel()
        if self._hello is not None:
            # gRPC does not wake a write that waits for a connection when its call is cancelled.
            self._hello.reschedule(asyncio.get_running_loop().time())

    def _was_dropped(self, cancelling: int) -> bool:
        """Tell our own `cancel` from the cancellation of the task that waits: gRPC raises CancelledError for both."""
        return self._dropped and _cancelling() == cancelling

    def _ended(self, error: grpc.RpcError | ProtoJobsError) -> StreamEnded:
        if self._dropped:
            return StreamEnded()
        return StreamEnded(translate(error) if isinstance(error, grpc.RpcError) else error)

    async def _why(self) -> ProtoJobsError | None:
        code = await self._call.code()
        if code is grpc.StatusCode.OK or self._dropped:
            return None
        error = grpc.aio.AioRpcError(
            code,
            await self._call.initial_metadata(),
            await self._call.trailing_metadata(),
            await self._call.details(),
        )
        return translate(error)


def _cancelling() -> int:
    """Count the cancellations of the running task. (Task groups before 3.13 leave some behind: compare, never test for 0.)"""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()

"""One Lease stream: frames in, frames out. What a lease is and who gets it is `application.lease`'s business.

One task reads, one writes. Outcomes are stored by a task per frame, so reading goes on while the store commits, and answers may
overtake each other. What is not written yet is bounded: nothing is read while too much is unanswered.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import timedelta

import grpc.aio
from google.protobuf.message import DecodeError
from protojobs.v1 import worker_service_pb2

from protojobs_service.application import (
    Application,
    DrainCause,
    HeldLease,
    LeaseSession,
    News,
    Settled,
    Stop,
)
from protojobs_service.domain import bounds
from protojobs_service.domain.errors import NOT_NOW, InvalidField, JobsError, Overloaded, ProtocolViolation
from protojobs_service.domain.job import Lease
from protojobs_service.domain.queue_limits import HoldCause
from protojobs_service.transport import wire
from protojobs_service.transport.call import Context
from protojobs_service.transport.convert import parse_optional_span, to_duration, to_timestamp
from protojobs_service.transport.first_frame import first_frame
from protojobs_service.transport.interceptors import Drain
from protojobs_service.transport.lease_answers import Pongs, SettledBuilder, cancel_items, lease_refs, to_drain
from protojobs_service.transport.lease_convert import (
    Outcomes,
    Refusal,
    SettleReader,
    parse_frame_bytes,
    parse_hello,
    parse_update,
    parse_window,
)
from protojobs_service.transport.permissions import access
from protojobs_service.transport.queue_limits import to_throttle
from protojobs_service.transport.status import MalformedMessage, under

_MOST_FRAMES = 256
_MOST_ITEMS = 100_000
_WRITE_TIMEOUT = 5.0
_ENTRIES_AT_ONCE = 512
_AFTER_GOODBYE = frozenset({"settle", "update", "ping"})
_MODES = {
    worker_service_pb2.GOODBYE_MODE_UNSPECIFIED: True,
    worker_service_pb2.GOODBYE_MODE_FINISH: True,
    worker_service_pb2.GOODBYE_MODE_RELEASE: False,
}


class LeaseStream:
    """Serves one stream; it is the session's sink too."""

    def __init__(self, application: Application, reader: SettleReader, drain: Drain, server_id: str) -> None:
        self._application = application
        self._leasing = application.leasing
        self._reader = reader
        self._going = drain
        self._server_id = server_id
        self._session: LeaseSession | None = None
        self._max_frame_bytes = bounds.DEFAULT_FRAME_BYTES
        self._seq = self._read_seq = 0
        self._said_goodbye = self._is_broken = False
        self._leases: deque[Lease] = deque()
        self._entries: deque[bytes] = deque()
        self._answers = SettledBuilder()
        self._stops: list[Stop] = []
        self._throttles: dict[str, worker_service_pb2.Throttle] = {}
        self._drain: worker_service_pb2.Drain | None = None
        self._pongs = Pongs(application.clock, application.store_time)
        self._updating: set[asyncio.Task[None]] = set()
        self._unanswered_frames = self._unanswered_items = 0
        self._unwritten_frames = self._unwritten_items = 0
        self._news = asyncio.Event()
        self._relief = asyncio.Event()
        self._over = asyncio.Event()
        self._error: JobsError | None = None

    async def run(self, frames: AsyncIterator[bytes], context: Context) -> None:
        """Serve the stream to its end. Raises what it must end with."""
        frames = aiter(frames)
        first = await first_frame(frames, self._going)
        if first is None:
            return
        try:
            session = await self._welcome(first, context)
        except grpc.aio.BaseError:
            await _cancelled_soon()
            return
        clean = False
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(session, frames, tasks), name="lease-read")
                writing = tasks.create_task(self._write(session, context), name="lease-write")
                await self._over.wait()
                reading.cancel()
                self._news.set()
                await asyncio.wait([writing], timeout=_WRITE_TIMEOUT)
                writing.cancel()
            clean = self._error is None and not context.cancelled()
        finally:
            self._leasing.lost(session, clean=clean)
        if self._error is not None:
            raise self._error

    # The sink

    def deliver(self, leases: Sequence[Lease]) -> None:
        """Send leases, in this order."""
        self._leases.extend(leases)
        self._news.set()

    def withdraw(self) -> None:
        """Drop the leases that no frame has carried."""
        self._leases.clear()
        self._entries.clear()

    def stop(self, stops: Sequence[Stop]) -> None:
        """Send a Cancel."""
        self._stops.extend(stops)
        self._news.set()

    def drain(self, cause: DrainCause, deadline: timedelta, reconnect_after: timedelta) -> None:
        """Send a Drain after everything that was delivered so far."""
        self._drain = to_drain(cause, deadline, reconnect_after)
        self._news.set()

    def throttle(self, queue: str, cause: HoldCause, until: timedelta | None) -> None:
        """Send a Throttle; it replaces one of the same queue that is not written yet."""
        self._throttles[queue] = to_throttle(queue, cause, until)
        self._news.set()

    def end(self, error: JobsError | None) -> None:
        """End the stream after what is to be written; leases that no frame has carried go back."""
        if not self._over.is_set():
            self.withdraw()
            self._error = error
            self._over.set()

    # Reading

    async def _welcome(self, data: bytes, context: Context) -> LeaseSession:
        frame = _parse(data)
        if frame.WhichOneof("frame") != "hello":
            raise ProtocolViolation("the first frame must be Hello")
        try:
            hello = parse_hello(frame.hello, self._application.limits)
            self._max_frame_bytes = parse_frame_bytes(frame.hello.max_frame_bytes)
            access().check(*hello.weights)
        except InvalidField as error:
            raise under(error, "hello") from None
        self._read_seq = frame.seq
        opened = await self._leasing.open(hello, self)
        self._session = opened.session
        try:
            await self._send(
                context, worker_service_pb2.LeaseResponse(welcome=self._to_welcome(opened.session, opened.kept, opened.lost))
            )
        except BaseException:
            self._leasing.lost(opened.session)
            raise
        self._leasing.begin(opened.session)
        return opened.session

    def _to_welcome(
        self, session: LeaseSession, kept: Sequence[HeldLease], lost: Sequence[HeldLease]
    ) -> worker_service_pb2.Welcome:
        return worker_service_pb2.Welcome(
            server_id=self._server_id,
            session_ttl=to_duration(session.hello.ttl),
            heartbeat_interval=to_duration(timedelta(seconds=session.heartbeat)),
            limits=worker_service_pb2.LeaseLimits(
                max_result_bytes=bounds.MAX_RESULT_BYTES,
                max_checkpoint_bytes=bounds.MAX_CHECKPOINT_BYTES,
                max_receive_bytes=self._application.limits.max_receive_bytes,
                max_in_flight=bounds.MAX_WINDOW,
            ),
            kept=lease_refs(kept),
            lost=lease_refs(lost),
            server_time=to_timestamp(self._application.store_time.now()),
        )

    async def _read(self, session: LeaseSession, frames: AsyncIterator[bytes], tasks: asyncio.TaskGroup) -> None:
        try:
            async for data in frames:
                self._take(session, _parse(data), tasks)
                while self._is_flooded():
                    self._relief.clear()
                    await self._relief.wait()
        except JobsError as error:
            self.end(error)
            return
        except grpc.aio.BaseError:
            # The server is stopping under the stream: what it has said stands, and the session may resume elsewhere.
            self.end(None)
            return
        # The worker has ended its side: answer what is on its way, then end ours.
        while self._unanswered_frames:
            self._relief.clear()
            await self._relief.wait()
        if not self._is_broken:
            self.end(None)

    def _is_flooded(self) -> bool:
        return self._unanswered_frames >= _MOST_FRAMES or self._unanswered_items >= _MOST_ITEMS

    def _take(self, session: LeaseSession, frame: wire.RawLeaseRequest, tasks: asyncio.TaskGroup) -> None:
        kind = frame.WhichOneof("frame")
        if frame.seq <= self._read_seq:
            raise ProtocolViolation("seq must grow from frame to frame")
        if kind == "hello":
            raise ProtocolViolation("Hello comes once, as the first frame")
        if self._said_goodbye and kind not in _AFTER_GOODBYE:
            raise ProtocolViolation("only Settle, Update and Ping may follow Goodbye")
        self._read_seq = frame.seq
        self._leasing.heard(session, self._seq, frame.received_seq, frame.started_seq)
        if session.has_suspects:  # what waits for this receipt, or for a settle of this frame, looks again
            self._news.set()
        match kind:
            case "settle":
                self._take_settle(session, frame.settle, tasks)
            case "update":
                self._take_update(session, frame.update, tasks)
            case "window":
                try:
                    self._leasing.set_window(session, parse_window(frame.window))
                except InvalidField as error:
                    raise under(error, "window") from None
            case "goodbye":
                self._take_goodbye(session, frame.goodbye)
            case "ping":
                self._pongs.owed = True
                self._news.set()
            case _:
                raise InvalidField("frame", "is required")

    def _take_settle(self, session: LeaseSession, settle: wire.RawSettle, tasks: asyncio.TaskGroup) -> None:
        outcomes = self._reader.read(settle, session.handle)
        items = len(outcomes.items) + len(outcomes.refused)
        self._unanswered_frames += 1
        self._unanswered_items += items
        if outcomes.items:
            session.settling += 1  # from now on: a Goodbye behind it must not close the session first
            tasks.create_task(self._store(session, outcomes, items, tuple(self._updating)))
        else:
            self._answer(outcomes, (), items)

    async def _store(
        self, session: LeaseSession, outcomes: Outcomes, items: int, updates: Collection["asyncio.Task[None]"]
    ) -> None:
        """Store outcomes after the updates that were read before them: a checkpoint must not lose against its own settle."""
        try:
            if updates:
                await asyncio.wait(updates)
            self._answer(outcomes, await self._application.settle.many(session, outcomes.items), items)
        except JobsError as error:
            self.end(error)
        finally:
            session.settling -= 1
        self._leasing.close_if_done(session)

    def _answer(self, outcomes: Outcomes, answers: Sequence[Settled], items: int) -> None:
        self._answers.add(outcomes, answers)
        self._answered(items)

    def _take_update(self, session: LeaseSession, update: worker_service_pb2.Update, tasks: asyncio.TaskGroup) -> None:
        news, refused = parse_update(update, session.handle)
        self._unanswered_frames += 1
        self._unanswered_items += len(update.items)
        task = tasks.create_task(self._store_news(news, refused, len(update.items)))
        self._updating.add(task)
        task.add_done_callback(self._updating.discard)

    async def _store_news(self, news: Sequence[News], refused: Sequence[Refusal], items: int) -> None:
        try:
            self._answers.add_updates(news, await self._application.settle.update(news) if news else (), refused)
        except NOT_NOW:
            self._answers.add_unstored_updates(news, refused)
        except JobsError as error:
            self.end(error)
            return
        self._answered(items)

    def _take_goodbye(self, session: LeaseSession, goodbye: worker_service_pb2.Goodbye) -> None:
        finish = _MODES.get(goodbye.mode)
        if finish is None:
            raise InvalidField("goodbye.mode", "is no known value")
        try:
            deadline = parse_optional_span(goodbye, "deadline", bounds.DEFAULT_DRAIN_DEADLINE, bounds.MAX_DRAIN_DEADLINE)
        except InvalidField as error:
            raise under(error, "goodbye") from None
        self._said_goodbye = True
        self._leasing.goodbye(session, finish=finish, deadline=deadline)

    def _answered(self, items: int) -> None:
        """Note that a frame's answer waits to be written; it counts as unanswered until then."""
        self._unwritten_frames += 1
        self._unwritten_items += items
        self._news.set()

    # Writing

    async def _write(self, session: LeaseSession, context: Context) -> None:
        clock, heartbeat = self._application.clock, session.heartbeat
        try:
            while True:
                if await self._write_one(session, context):
                    continue
                if self._over.is_set():
                    return
                self._news.clear()
                wait_s = self._pongs.wait_s() if self._pongs.owed else heartbeat
                self._pongs.owed = not await clock.wait(self._news, wait_s) or self._pongs.owed
        except TimeoutError:
            self._leasing.lost(session, slow=True)
            self.end(Overloaded("the worker does not read its stream"))
        except grpc.aio.BaseError:
            self._is_broken = True
            self._leasing.lost(session)
            await _cancelled_soon()
            self.end(None)

    async def _write_one(self, session: LeaseSession, context: Context) -> bool:
        """Write the most urgent frame, if there is any: Settled, Pong, Cancel, Deliver, and Drain after all."""
        if not self._answers.is_empty or self._unwritten_frames:
            await self._write_answers(context)
        elif self._pongs.owed and (self._pongs.wait_s() <= 0 or self._over.is_set()):
            await self._send(context, worker_service_pb2.LeaseResponse(pong=self._pongs.take()))
        elif self._stops:
            stops, self._stops = self._stops, []
            cancel = worker_service_pb2.Cancel(items=cancel_items(stops))
            await self._send(context, worker_service_pb2.LeaseResponse(cancel=cancel))
        elif (lot := session.next_lot(len(self._entries), len(self._leases))) or self._entries:
            await self._write_leases(session, context, lot)
        elif self._throttles:
            throttle = self._throttles.pop(next(iter(self._throttles)))
            await self._send(context, worker_service_pb2.LeaseResponse(throttle=throttle))
        elif self._drain is not None:
            drain, self._drain = self._drain, None
            await self._send(context, worker_service_pb2.LeaseResponse(drain=drain))
        else:
            return False
        return True

    async def _write_answers(self, context: Context) -> None:
        frames, items = self._unwritten_frames, self._unwritten_items
        self._unwritten_frames = self._unwritten_items = 0
        if not self._answers.is_empty:
            await self._send(context, worker_service_pb2.LeaseResponse(settled=self._answers.build()))
        self._unanswered_frames -= frames
        self._unanswered_items -= items
        self._relief.set()

    async def _write_leases(self, session: LeaseSession, context: Context, lot: int) -> None:
        """Write one Deliver with what is packed and with up to `lot` leases more."""
        entries = self._entries
        while lot > 0 and len(entries) < _ENTRIES_AT_ONCE:
            some = [self._leases.popleft() for _ in range(min(_ENTRIES_AT_ONCE, lot))]
            lot -= len(some)
            entries.extend(wire.leased_jobs(some))
        size, frame = sum(map(len, entries)), list(entries)
        entries.clear()
        while len(frame) > 1 and size >= self._max_frame_bytes:
            entries.appendleft(frame.pop())
            size -= len(entries[0])
        self._seq += 1
        session.sent(self._seq, len(frame), size, self._application.clock.monotonic())
        await self._put(context, wire.deliver_frame(self._seq, self._read_seq, frame))

    async def _send(self, context: Context, response: worker_service_pb2.LeaseResponse) -> None:
        self._seq += 1
        response.seq, response.received_seq = self._seq, self._read_seq
        await self._put(context, response.SerializeToString())

    async def _put(self, context: Context, data: bytes) -> None:
        async with asyncio.timeout(_WRITE_TIMEOUT):
            await context.write(data)


async def _cancelled_soon() -> None:
    """Wait for the cancellation of a call whose peer is gone: grpc logs an error for a status that nobody can get."""
    await asyncio.sleep(_WRITE_TIMEOUT)


def _parse(data: bytes) -> wire.RawLeaseRequest:
    try:
        return wire.LeaseRequest.FromString(data)
    except DecodeError:
        raise MalformedMessage from None

"""Coalesces single dispatches onto one DispatchStream.

Callers put specs into a queue and wait. One task serves it: it opens a stream, packs what waits into frames,
at most `MAX_FRAMES` of them unacknowledged so that later specs gather meanwhile, and hands out the answers.
Half of many that wait goes first, and then nothing that is much smaller than the last frame, for a moment: so the
callers of one frame work while the other one is stored, and frames do not crumble.
When the stream is lost it opens another and sends what is unacknowledged again, in order and with the same ids.
A server without the method gets Dispatch and DispatchBatch instead.
"""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
from protojobs.v1 import job_pb2, job_service_pb2

from protojobs_client.batch import MAX_ITEMS, Sized, room
from protojobs_client.errors import ClientClosedError, DeadlineExceededError, ProtoJobsError, UnavailableError, UnsupportedError
from protojobs_client.ids import JobId
from protojobs_client.outcome import Dispatched, DispatchResult, Refused
from protojobs_client.parse import dispatch_result
from protojobs_client.retrying import retrying
from protojobs_client.statuses import translate

_log = logging.getLogger(__name__)

MAX_FRAMES = 4
WORTH_HALVING = 64  # specs that wait
HELD_SECONDS = 0.01  # of what is much smaller than the last frame
FIRST_WINDOW = 1000  # jobs, until the first acknowledgement tells the server's

Stream = grpc.aio.StreamStreamCall[job_service_pb2.DispatchStreamRequest, job_service_pb2.DispatchStreamResponse]


@dataclass(slots=True, eq=False)
class _Item:
    """One spec and who waits for its answer."""

    spec: job_pb2.JobSpec
    size: int
    answer: "asyncio.Future[DispatchResult]"
    context: contextvars.Context | None

    def resolve(self, result: DispatchResult) -> None:
        if not self.answer.done():
            self.answer.set_result(result)

    def refuse(self, error: ProtoJobsError) -> None:
        self.resolve(Refused(job_id=JobId(self.spec.id), error=error))


@dataclass(slots=True, eq=False)
class _Frame:
    """What was sent under one sequence number, and the answers to it so far."""

    items: list[_Item]
    results: dict[int, DispatchResult] = field(default_factory=dict[int, DispatchResult])

    def acknowledge(self) -> None:
        for index, item in enumerate(self.items):
            item.resolve(self.results.get(index) or Dispatched(job_id=JobId(item.spec.id)))


class DispatchPipe:
    """Dispatches specs together. Lives on one event loop; its task runs only while there is work."""

    def __init__(
        self,
        open_stream: Callable[[], Stream],
        send: Callable[[list[job_pb2.JobSpec]], Coroutine[Any, Any, list[DispatchResult]]],
        *,
        streaming: bool,
        max_message_bytes: int,
        ack_timeout: timedelta,
        idle: timedelta = timedelta(seconds=30),
    ) -> None:
        """`send` is the way without a stream. A stream closes when it has been idle for `idle`."""
        self._open_stream = open_stream
        self._send = send
        self._streaming = streaming
        self._room = room(max_message_bytes)
        self._ack_timeout = ack_timeout.total_seconds()
        self._idle = idle.total_seconds()
        self._queue: deque[_Item] = deque()
        self._suspects: deque[_Item] = deque()
        self._frames: dict[int, _Frame] = {}
        self._in_flight = 0
        self._window = FIRST_WINDOW
        self._last_seq = 0
        self._news = asyncio.Event()
        self._patience: asyncio.Timeout | None = None
        self._task: asyncio.Task[None] | None = None
        self._last_error: ProtoJobsError | None = None
        self._closing = False
        self._moving = False

    async def submit(self, sized: Sized, *, patience: timedelta) -> DispatchResult:
        """Dispatch one spec and return what became of it.

        The end of `patience` is a Refused whose outcome is unknown. Cancelling the caller does not take back what was sent.
        """
        if self._closing:
            raise ClientClosedError("the client is closed")
        loop = asyncio.get_running_loop()
        item = _Item(*sized, loop.create_future(), None if self._streaming else contextvars.copy_context())
        self._queue.append(item)
        self._news.set()
        if self._task is None or self._task.done():
            # Owned by this object, which ends it in `close`: a group would need a scope that callers do not have.
            # In no caller's context: it works for all of them.
            self._task = loop.create_task(self._serve(), name="protojobs-dispatch", context=contextvars.Context())
        try:
            async with asyncio.timeout(patience.total_seconds()):
                return await item.answer
        except TimeoutError:
            return Refused(job_id=JobId(sized.spec.id), error=self._last_error or _late())

    async def close(self, *, grace: timedelta) -> None:
        """Finish what was submitted, for at most `grace`; the rest is refused."""
        self._closing = True
        self._news.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=grace.total_seconds())
            self._task.cancel()
            await asyncio.wait([self._task])

    def move(self) -> None:
        """End the stream that there is, once everything on it is acknowledged; what follows goes by another one."""
        self._moving = True
        self._news.set()

    async def _serve(self) -> None:
        """Run until nothing waits."""
        try:
            while self._queue:
                try:
                    await retrying(self._run)
                except UnsupportedError:
                    _log.info("server has no dispatch stream")
                    self._streaming = False
                except ProtoJobsError as error:
                    _log.warning("dispatch stream refused", extra={"reason": error.reason})
                    if error.retryable:  # the process has switched retries off
                        self._refuse_queue(error)
                # One caller's job must not fail another's: each gets its own verdict.
                await self._run_batches(self._suspects, max_items=1)
        finally:
            for item in (*self._take_back(), *self._queue, *self._suspects):
                item.refuse(ClientClosedError("the client was closed"))

    def _refuse_queue(self, error: ProtoJobsError) -> None:
        while self._queue:
            self._queue.popleft().refuse(error)

    async def _run(self) -> None:
        """Serve the queue by one stream until it ends, or in batches. Returns normally if it got anywhere."""
        if not self._streaming:
            await self._run_batches(self._queue, max_items=MAX_ITEMS)
        elif _drop_answered(self._queue):
            await self._run_stream()

    async def _run_stream(self) -> None:
        self._window = FIRST_WINDOW
        self._last_seq = 0
        self._moving = False
        stream = self._open_stream()
        error: ProtoJobsError | None = None
        progress = False
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write(stream), name="protojobs-dispatch-writer")
                error, progress = await self._read(stream)
                writer.cancel()
        finally:
            stream.cancel()
            unacknowledged = self._take_back()
            again = error is None or error.retryable or isinstance(error, UnsupportedError)
            (self._queue if again else self._suspects).extendleft(reversed(unacknowledged))
        if error is not None:
            self._last_error = error
            if not progress or not error.retryable:
                raise error

    async def _read(self, stream: Stream) -> tuple[ProtoJobsError | None, bool]:
        """Hand out acknowledgements until the stream ends; return why, and whether there were any."""
        progress = False
        try:
            async with asyncio.timeout(None) as self._patience:
                while isinstance(answer := await stream.read(), job_service_pb2.DispatchStreamResponse):
                    # The first frame tells only the window, also where nothing can be stored.
                    progress = progress or bool(answer.up_to_seq)
                    self._acknowledge(answer)
                    self._expect_news(bool(self._frames))
        except grpc.RpcError as error:
            return translate(error), progress
        except ProtoJobsError as error:  # of an interceptor
            return error, progress
        except TimeoutError:
            return _late(), progress
        finally:
            self._patience = None
        if self._frames or (self._queue and not progress and not self._moving):
            return UnavailableError("the server ended the stream"), progress
        return None, progress

    async def _write(self, stream: Stream) -> None:
        """Send frames until there has been nothing to send for a while."""
        try:
            while items := await self._next_items():
                self._last_seq += 1
                self._frames[self._last_seq] = _Frame(items)
                self._in_flight += len(items)
                if len(self._frames) == 1:
                    self._expect_news(True)
                await stream.write(job_service_pb2.DispatchStreamRequest(seq=self._last_seq, specs=[item.spec for item in items]))
            await stream.done_writing()
            self._expect_news(True)
        except (grpc.RpcError, ProtoJobsError, asyncio.InvalidStateError):
            pass  # the stream is over: the reader learns why

    async def _next_items(self) -> list[_Item]:
        """Wait for what may be sent; nothing means that the stream has been idle long enough, or is to be left."""
        loop = asyncio.get_running_loop()
        held_until: float | None = None
        while not (items := self._take(hold=held_until is None or loop.time() < held_until)) and not self._moving:
            idle = not self._frames
            if idle and self._closing:
                break
            if held_until is None and self._queue:
                held_until = loop.time() + HELD_SECONDS
            look_again = None
            if idle:
                look_again = loop.time() + self._idle
            elif self._queue and self._has_room:
                look_again = held_until
            self._news.clear()
            try:
                async with asyncio.timeout_at(look_again):
                    await self._news.wait()
            except TimeoutError:
                if idle:
                    break
        return items

    @property
    def _has_room(self) -> bool:
        """Tell whether another frame may be sent; with nothing in flight no acknowledgement would ever open a window of 0."""
        return not self._frames or (len(self._frames) < MAX_FRAMES and self._in_flight < self._window)

    def _take(self, *, hold: bool) -> list[_Item]:
        """Take what the server's window and the size of a message allow; with `hold` only what is worth a frame."""
        if not self._has_room or self._moving:
            return []
        share = waiting = len(self._queue)
        if self._frames:
            last = next(reversed(self._frames.values()))
            if hold and not self._closing and 4 * waiting < 3 * len(last.items):
                return []
        elif waiting >= WORTH_HALVING:
            share = waiting // 2
        return self._take_from(self._queue, min(max(self._window - self._in_flight, 1), MAX_ITEMS, share))

    def _take_from(self, queue: deque[_Item], max_items: int) -> list[_Item]:
        items: list[_Item] = []
        free = self._room
        while queue and len(items) < max_items and (not items or queue[0].size <= free):
            item = queue.popleft()
            if not item.answer.done():
                items.append(item)
                free -= item.size
        return items

    def _acknowledge(self, answer: job_service_pb2.DispatchStreamResponse) -> None:
        if answer.up_to_seq:
            self._last_error = None
        self._window = answer.window
        for result in answer.results:
            frame = self._frames.get(result.seq)
            if frame is not None and result.index < len(frame.items):
                job_id = JobId(frame.items[result.index].spec.id)
                frame.results[result.index] = dispatch_result(result.result, job_id)
        for seq in [seq for seq in self._frames if seq <= answer.up_to_seq]:
            frame = self._frames.pop(seq)
            self._in_flight -= len(frame.items)
            frame.acknowledge()
        self._news.set()

    def _expect_news(self, expected: bool) -> None:
        """Give the stream up if the server says nothing for `ack_timeout` although it should."""
        if self._patience is not None and not self._patience.expired():
            now = asyncio.get_running_loop().time()
            self._patience.reschedule(now + self._ack_timeout if expected else None)

    def _take_back(self) -> list[_Item]:
        """Return what was sent and not acknowledged, in order, as if it had not been sent."""
        items = [item for frame in self._frames.values() for item in frame.items]
        self._frames.clear()
        self._in_flight = 0
        return items

    async def _run_batches(self, queue: deque[_Item], *, max_items: int) -> None:
        """Send a queue without a stream. Every item gets an answer, be it the error of its call."""
        while items := self._take_from(queue, max_items):
            self._frames[0] = _Frame(items)  # so that an end in the middle finds them
            try:
                results = await self._send_in_context(items)
            except ProtoJobsError as error:
                for item in items:
                    item.refuse(error)
            else:
                for item, result in zip(items, results, strict=True):
                    item.resolve(result)
            self._frames.clear()

    async def _send_in_context(self, items: list[_Item]) -> list[DispatchResult]:
        """Send what belongs to one caller in its context, so that its trace has the call."""
        sending, context = self._send([item.spec for item in items]), items[0].context
        if len(items) > 1 or context is None:
            return await sending
        # Not in a group, which would wrap its error; cancelled with whoever awaits it.
        return await asyncio.get_running_loop().create_task(sending, context=context)


def _drop_answered(queue: deque[_Item]) -> bool:
    """Forget items whose callers have gone; return whether any are left."""
    waiting = [item for item in queue if not item.answer.done()]
    queue.clear()
    queue.extend(waiting)
    return bool(waiting)


def _late() -> DeadlineExceededError:
    return DeadlineExceededError("no acknowledgement came in time", code=grpc.StatusCode.DEADLINE_EXCEEDED)

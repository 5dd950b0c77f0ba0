"""One stream between Welcome and its end: what the worker says, and what it does with what it hears.

A *turn* collects what handlers reported, begins what there is room for, writes one frame for all of it, and only then
hands the begun jobs to the executor: the frame that covers a job leaves before its handler begins.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from protojobs.v1 import worker_service_pb2 as wire

from protojobs_worker import frames
from protojobs_worker.answers import Answers
from protojobs_worker.executor import Executor
from protojobs_worker.holding import Holding, Phase
from protojobs_worker.leaving import Leaving
from protojobs_worker.options import ExitReason
from protojobs_worker.stream import Stream, StreamEnded

logger = logging.getLogger(__name__)

# A Deliver is acknowledged with the next frame, at the latest after this (the server's limit is 5 s).
_RECEIPT_SECONDS: Final = 0.05
_EOF_SECONDS: Final = 2.0


class Conversation:
    """Reads and writes one stream after the other."""

    def __init__(
        self,
        holding: Holding,
        leaving: Leaving,
        answers: Answers,
        executor: Executor,
        wake: asyncio.Event,
        clock: Callable[[], float],
    ) -> None:
        """`wake` is set where there may be something to begin or to say."""
        self.window_told = 0
        self._holding = holding
        self._leaving = leaving
        self._answers = answers
        self._executor = executor
        self._wake = wake
        self._clock = clock

    async def hold(self, stream: Stream) -> None:
        """Read and write until one of them ends. Raises StreamEnded."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(stream), name="protojobs-read")
                group.create_task(self._write(stream), name="protojobs-write")
        except* StreamEnded as ends:
            end = _first(ends)
            raise end from end.error

    def is_due(self, stream: Stream, now: float) -> bool:
        """Tell whether time alone has brought something to say."""
        return bool(self._holding.updates) or stream.owes_receipt(now) or self._heartbeat_due(stream, now)

    # ---- what the worker says ----------------------------------------------------------------------------

    async def _write(self, stream: Stream) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._turn(stream)
            if stream.leave_at is not None and self._clock() >= stream.leave_at:
                raise stream.leave()
            if stream.goodbye_sent and self._holding.nothing_left:
                await stream.half_close()
                await asyncio.sleep(_EOF_SECONDS)
                raise StreamEnded

    async def _turn(self, stream: Stream) -> None:
        holding = self._holding
        holding.collect()
        begun = holding.begin()
        started_seq = holding.ledger.begun
        wrote = False
        try:
            for frame in self._frames(stream, bool(begun)):
                await stream.write(frame, started_seq)
                if begun:
                    holding.start(begun)
                    begun = []
                    if holding.used_up:
                        self._leaving.leave(ExitReason.MAX_JOBS)
                wrote = True
        except BaseException:
            holding.put_back(begun)
            raise
        if wrote and (self._executor.ended or holding.ledger.unsent):
            self._wake.set()

    def _frames(self, stream: Stream, begun: bool) -> Iterator[wire.LeaseRequest]:
        """Make what there is to say. Nothing to say but something to acknowledge is a Ping."""
        now, silent, holding = self._clock(), True, self._holding
        for batch in holding.updates.take(now):
            silent = False
            yield frames.update(batch)
        while leases := holding.ledger.take_unsent(frames.MAX_SETTLES, holding.limits.max_frame_bytes):
            silent = False
            if holding.exchange is not None:
                holding.exchange.sent(leases)
            yield frames.settle(leases)
        if holding.phase is Phase.LEAVING:
            if not stream.goodbye_sent:
                stream.goodbye_sent = True
                silent = False
                yield frames.goodbye(timedelta(seconds=self._leaving.deadline))
        elif (window := holding.window()) != self.window_told:
            self.window_told = window
            silent = False
            yield frames.window(window)
        if silent and (begun or stream.owes_receipt(now) or self._heartbeat_due(stream, now)):
            yield frames.ping()

    def _heartbeat_due(self, stream: Stream, now: float) -> bool:
        limits = self._holding.limits
        return now >= stream.last_write + limits.heartbeat - limits.tick

    # ---- what it hears -----------------------------------------------------------------------------------

    async def _read(self, stream: Stream) -> None:
        while True:
            frame = await stream.read()
            match frame.WhichOneof("frame"):
                case "deliver":
                    self._on_deliver(stream, frame.deliver)
                case "settled":
                    self._answers.settled(frame.settled)
                case "cancel":
                    self._answers.cancel(frame.cancel)
                case "drain":
                    self._on_drain(stream, frame.drain)
                case "throttle":
                    _log_throttle(frame.throttle)
                case "pong" | "welcome" | None:
                    pass

    def _on_deliver(self, stream: Stream, deliver: wire.Deliver) -> None:
        self._holding.deliver(deliver)
        wait = _RECEIPT_SECONDS if self._holding.ledger.running else 0.0
        if stream.delivered(self._clock() + wait):
            asyncio.get_running_loop().call_later(wait, self._wake.set)

    def _on_drain(self, stream: Stream, drain: wire.Drain) -> None:
        logger.info("drain", extra={"reason": wire.DrainReason.Name(drain.reason)})
        if drain.reason == wire.DRAIN_REASON_WORKER:
            deadline = frames.seconds(drain.deadline) if drain.HasField("deadline") else None
            self._leaving.leave(ExitReason.DRAINED, within=deadline)
            return
        wait = frames.seconds(drain.reconnect_after)
        stream.leave_at = self._clock() + wait
        asyncio.get_running_loop().call_later(wait, self._wake.set)
        self._wake.set()


def _log_throttle(throttle: wire.Throttle) -> None:
    """Say why this worker is idle."""
    try:
        why = wire.ThrottleReason.Name(throttle.why).removeprefix("THROTTLE_REASON_").lower()
    except ValueError:  # of a later version
        why = str(throttle.why)
    until = frames.seconds(throttle.until) if throttle.HasField("until") else None
    logger.debug("throttled", extra={"queue": throttle.queue, "why": why, "seconds": until})


def _first(ends: BaseExceptionGroup[StreamEnded]) -> StreamEnded:
    """Find the end that tells most: one with an error, else any."""
    found = [_first(end) if isinstance(end, BaseExceptionGroup) else end for end in ends.exceptions]
    return next((end for end in found if end.error is not None), found[0])

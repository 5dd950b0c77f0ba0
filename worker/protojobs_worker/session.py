"""The worker's side of the Lease stream: connects, takes jobs, settles outcomes, stays alive, leaves.

Runs on a thread and event loop of its own: whatever handlers do to the user's loop, heartbeats go out. (Measured: the
hand-over between both loops costs below 0.5 us a job, because it happens per batch.) Everything here belongs to that
one thread; `leave` and `quiet` are the only doors from outside.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from protojobs_client.errors import (
    InvalidArgumentError,
    PermissionDeniedError,
    ProtocolViolationError,
    ProtoJobsError,
    SessionClosedError,
    SessionSupersededError,
    UnauthenticatedError,
    UnsupportedError,
)

from protojobs_worker import frames
from protojobs_worker.answers import Answers
from protojobs_worker.context import StopReason
from protojobs_worker.conversation import Conversation
from protojobs_worker.exchange import Exchange
from protojobs_worker.executor import Executor
from protojobs_worker.holding import Holding, Phase
from protojobs_worker.leaving import Leaving
from protojobs_worker.limits import Limits
from protojobs_worker.options import ExitReason, WorkerOptions
from protojobs_worker.pacing import Reconnect
from protojobs_worker.stream import OpenCall, Stream, StreamEnded

logger = logging.getLogger(__name__)

_LOCKED_OUT_SECONDS: Final = 60.0
# What ends a worker that no server has welcomed yet: trying again would change nothing.
_REFUSED: Final = (InvalidArgumentError, UnsupportedError, ProtocolViolationError, UnauthenticatedError, PermissionDeniedError)


class Session:
    """One session: from the first Hello to the last Settled."""

    def __init__(
        self,
        options: WorkerOptions,
        kinds: list[str],
        executor: Executor,
        *,
        version: str,
        uniform: Callable[[float, float], float],
        clock: Callable[[], float] = monotonic,
        exchange: Exchange | None = None,
    ) -> None:
        self._wake = asyncio.Event()
        self.holding = Holding(options, executor, self._wake.set, clock, exchange)
        self.leaving = Leaving(options, self.holding, self._wake.set, clock)
        self.connected = False
        self.down_since = clock()
        answers = Answers(self.holding, executor, self._wake.set, uniform, clock)
        self._conversation = Conversation(self.holding, self.leaving, answers, executor, self._wake, clock)
        self._options = options
        self._kinds = kinds
        self._executor = executor
        self._version = version
        self._clock = clock
        self._session_id = secrets.token_bytes(16)
        self._stream_no = 0
        self._stream: Stream | None = None
        self._was_welcome = False
        self._over = asyncio.Event()
        self._moved = asyncio.Event()
        self._locked_out_told_at: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: deque[Callable[[], None]] = deque()
        self._answered_at = clock()
        self._fenced = False
        self._reconnect = Reconnect(uniform)

    # ---- doors from other threads ----------------------------------------------------------------------

    def leave(self, reason: ExitReason) -> None:
        """Finish what runs and end; a second call with KILLED ends at once."""
        self._ask(lambda: self._leave(reason))

    def quiet(self) -> None:
        """Take no more jobs, and give back what has not begun."""
        self._ask(self.leaving.quiet)

    def _ask(self, action: Callable[[], None]) -> None:
        # Appended before the loop is read, and `run` names the loop before it looks: nothing asked early is lost.
        self._asked.append(action)
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._do_asked)
            except RuntimeError:
                logger.debug("session has ended")

    def _do_asked(self) -> None:
        while self._asked:
            self._asked.popleft()()

    # ---- life ------------------------------------------------------------------------------------------

    async def run(self, open_call: OpenCall) -> None:
        """Open one stream after the other until the worker has left."""
        self._loop = asyncio.get_running_loop()
        self._do_asked()
        self._executor.ended.bind(self._loop, self._wake.set)
        self._executor.updated.bind(self._loop, self._wake.set)
        while not self._over.is_set():
            wait = await self._one_stream(Stream(open_call(), self._clock))
            if wait and not self._over.is_set():
                logger.info("next stream", extra={"held": len(self.holding.ledger), "in_s": round(wait, 2)})
                await self._pause(wait)
        self._executor.ended.close()
        self._executor.updated.close()

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until the session is over or the way to the server is another one."""
        self._moved.clear()
        if self._over.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await self._moved.wait()
        except TimeoutError:
            pass

    async def _one_stream(self, stream: Stream) -> float:
        """Live through one stream. Returns the wait before the next one, in seconds."""
        self._stream = stream
        try:
            await self._greet(stream)
            await self._conversation.hold(stream)
        except StreamEnded as end:
            self._judge(end)
        finally:
            stream.cancel()
            self._stream = None
            if self.connected:
                self._hear(stream)
                self.connected = False
                self.down_since = self._clock()
        if stream.half_closed:
            self._over.set()
        # The server may have ended the stream of a worker that leaves: there is nothing to come back for.
        self._press(self._clock())
        if stream.leave_at is not None:
            # Told to leave: no backoff, but not before the server wants us back.
            return max(0.0, stream.leave_at - self._clock())
        return self._reconnect.wait()

    async def _greet(self, stream: Stream) -> None:
        holding = self.holding
        self._stream_no += 1
        holding.collect()
        holding.ledger.open_stream(self._stream_no)
        self._conversation.window_told = holding.window()
        hello = frames.hello(
            session_id=self._session_id,
            worker=self._options.name,
            sdk_version=self._version,
            queues=self._options.queues,
            strict=self._options.order == "strict",
            kinds=self._kinds,
            window=self._conversation.window_told,
            slots=holding.slots,
            stream_no=self._stream_no,
            held=holding.ledger.held(),
            now=self._clock(),
            session_ttl=self._options.ttl,
        )
        await stream.hello(hello)
        welcome = await stream.welcome()
        holding.limits = Limits.of(welcome)
        holding.resume(welcome.kept)
        self._answered_at = stream.answered_at
        self._fenced = False
        self._was_welcome = True
        self._locked_out_told_at = None
        self.connected = True
        self._reconnect.welcomed()
        self._wake.set()
        logger.info(
            "stream open",
            extra={"server": welcome.server_id, "kept": len(welcome.kept), "lost": len(welcome.lost)},
        )

    def _judge(self, end: StreamEnded) -> None:
        """Decide what the end of a stream means for the session."""
        match end.error:
            case SessionClosedError() | SessionSupersededError():
                # The server knows this session no more: what it held is not ours, a new one begins.
                logger.warning("session is over; starting a new one", extra={"reason": end.error.reason})
                self.holding.reset()
                self._session_id = secrets.token_bytes(16)
                self._stream_no = 0
            case ProtoJobsError() if not self._was_welcome and isinstance(end.error, _REFUSED):
                self.refuse(end.error)
            case UnauthenticatedError() | PermissionDeniedError():
                self._tell_locked_out(end.error)
            case ProtoJobsError():
                logger.warning("stream ended: %s", end.error.message, extra={"reason": end.error.reason})
            case None:
                pass

    def refuse(self, error: ProtoJobsError) -> None:
        """End because nothing will come of it: no server takes this worker as it is. On the session's own thread."""
        logger.error("this worker is refused: %s", error.message, extra={"reason": error.reason})
        self._end(ExitReason.REFUSED)

    def _tell_locked_out(self, error: ProtoJobsError) -> None:
        """Say that credentials which were good are so no more: at once, and then once a minute as long as that lasts."""
        now = self._clock()
        if self._locked_out_told_at is None or now >= self._locked_out_told_at + _LOCKED_OUT_SECONDS:
            self._locked_out_told_at = now
            logger.error(
                "credentials are not accepted any more; what runs goes on, and each try reads the token file again: %s",
                error.message,
                extra={"reason": error.reason, "held": len(self.holding.ledger)},
            )

    def move(self) -> None:
        """Go on by another stream, with all leases, as if the server had asked for it. On the session's own loop."""
        self._moved.set()
        if self._stream is not None and self._stream.leave_at is None:
            self._stream.leave_at = self._clock()
            self._wake.set()

    # ---- upkeep ----------------------------------------------------------------------------------------

    def upkeep(self) -> None:
        """Look after everything that only time brings about. Called every `Limits.tick` seconds."""
        now, holding = self._clock(), self.holding
        if not self.connected:
            holding.collect()
        self._watch_stream(now)
        self._fence(now)
        holding.watch(now)
        if holding.stuck >= self._options.stuck_slots and holding.phase is not Phase.LEAVING:
            logger.error("too many stuck handlers; leaving", extra={"stuck": holding.stuck})
            self._leave(ExitReason.STUCK)
        if holding.adapt(now) and holding.window() != self._conversation.window_told:
            self._wake.set()
        self._press(now)

    def _hear(self, stream: Stream) -> None:
        if stream.answered_at > self._answered_at:
            self._answered_at = stream.answered_at
            self._fenced = False

    def _watch_stream(self, now: float) -> None:
        stream = self._stream
        if stream is None or not self.connected:
            return
        self._hear(stream)
        if now > stream.last_read + 3 * self.holding.limits.heartbeat:
            logger.warning("no frame in three heartbeat intervals; dropping the stream")
            stream.cancel()
        elif self._conversation.is_due(stream, now):
            self._wake.set()

    def _fence(self, now: float) -> None:
        """Stop handlers whose leases may be gone: no answer for 80 % of the session's life without a heartbeat."""
        holding = self.holding
        if self._fenced or not holding.ledger.running or now < self._answered_at + 0.8 * holding.limits.ttl:
            return
        self._fenced = True
        logger.warning("no answer for 80 % of the session's ttl; stopping handlers")
        holding.stop(holding.ledger.running_leases(), StopReason.LEASE_LOST)

    # ---- leaving ---------------------------------------------------------------------------------------

    def _leave(self, reason: ExitReason) -> None:
        self.leaving.leave(reason)
        if reason is ExitReason.KILLED:
            self._press(self._clock())

    def _press(self, now: float) -> None:
        if self.leaving.press(now, connected=self.connected):
            self._end(self.leaving.exit or ExitReason.SIGNAL)

    def _end(self, reason: ExitReason) -> None:
        self.leaving.exit = reason
        self.holding.phase = Phase.LEAVING
        self._over.set()
        self._moved.set()
        if self._stream is not None:
            self._stream.cancel()

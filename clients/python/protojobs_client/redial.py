"""A channel whose files may change: it dials again with the new ones, and calls move over.

gRPC reads certificates once, when a channel is made (grpc/grpc#41779). So the files are looked at every `LOOK_SECONDS`, and
new calls go by a new gRPC channel once that has connected; files that nobody can connect with leave the old one in use. It is
closed when its calls have ended. Streams that can be resumed are told to move; those told to nobody, such as watches, end when
the server ends their connection, and go on by the new channel then.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import grpc
from grpc import aio
from typing_extensions import override

_log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
_DIAL_SECONDS = 10.0

Stamp = tuple[tuple[int, int, int] | None, ...]


def on_change(channel: aio.Channel, move: Callable[[], None]) -> None:
    """Call `move`, on the channel's event loop, whenever a call made before should be replaced by one made from now on."""
    if isinstance(channel, RedialledChannel):
        channel.movers.append(move)


class RedialledChannel(aio.Channel):
    """Is one gRPC channel after the other. Lives on one event loop, with a task that `close` ends."""

    def __init__(self, dial: Callable[[], aio.Channel], *, files: Sequence[Path], token_file: Path | None) -> None:
        """`dial` reads the `files`; a changed token file only makes streams move, so that they show the new token.

        Raises OSError if a file cannot be read.
        """
        self.movers: list[Callable[[], None]] = []
        self._dial = dial
        self._files = files
        self._token_files = () if token_file is None else (token_file,)
        self._stamp = _stamp(files)
        self._refused = self._stamp
        self._token_stamp = _stamp(self._token_files)
        self.line = _Line(dial())
        self._left: list[_Line] = []
        # Owned by this object: a group would need a scope that users of a channel do not have.
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="protojobs-certificates")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._hang_up()
            token_stamp, stamp = _stamp(self._token_files), _stamp(self._files)
            changed = token_stamp != self._token_stamp
            self._token_stamp = token_stamp
            if stamp != self._stamp:
                changed = await self._redial(stamp) or changed
            if changed:
                for move in self.movers:
                    move()

    async def _hang_up(self) -> None:
        """Close the channels that were left, once nobody speaks there any more."""
        for line in [each for each in self._left if not each.calls]:
            self._left.remove(line)
            await line.channel.close()

    async def _redial(self, stamp: Stamp) -> bool:
        """Go over to a channel made with the changed files; False where that would lose a connection that works."""
        try:
            line = _Line(self._dial())
        except OSError as error:
            self._refuse(stamp, error.strerror or "it cannot be read")
            return False
        try:
            works = await _connects(line.channel)
        except BaseException:
            await line.channel.close()
            raise
        if not works and self.get_state() is grpc.ChannelConnectivity.READY:
            await line.channel.close()
            self._refuse(stamp, "no connection comes about with it")
            return False
        self._left.append(self.line)
        self.line, self._stamp = line, stamp
        _log.info("certificates have changed; calls go by a new connection", extra={"connected": works})
        return True

    def _refuse(self, stamp: Stamp, why: str) -> None:
        if stamp != self._refused:
            self._refused = stamp
            _log.warning("changed certificate cannot be used; the old connection stays", extra={"why": why})

    @override
    async def close(self, grace: float | None = None) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        for line in (*self._left, self.line):
            await line.channel.close(grace)

    @override
    async def __aenter__(self) -> Self:
        return self

    @override
    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    @override
    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self.line.channel.get_state(try_to_connect)

    @override
    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self.line.channel.wait_for_state_change(last_observed_state)

    @override
    async def channel_ready(self) -> None:
        await self.line.channel.channel_ready()

    @override
    def unary_unary(self, *method: Any, **options: Any) -> Any:
        return _Method(self, lambda channel: channel.unary_unary(*method, **options))

    @override
    def unary_stream(self, *method: Any, **options: Any) -> Any:
        return _Method(self, lambda channel: channel.unary_stream(*method, **options))

    @override
    def stream_unary(self, *method: Any, **options: Any) -> Any:
        return _Method(self, lambda channel: channel.stream_unary(*method, **options))

    @override
    def stream_stream(self, *method: Any, **options: Any) -> Any:
        return _Method(self, lambda channel: channel.stream_stream(*method, **options))


class _Line:
    """One gRPC channel, and how many calls are on it."""

    def __init__(self, channel: aio.Channel) -> None:
        self.channel = channel
        self.calls = 0

    def begin(self, call: Any) -> Any:
        """Count a call until it is done."""
        self.calls += 1
        call.add_done_callback(self._end)
        return call

    def _end(self, _call: object) -> None:
        self.calls -= 1


class _Method:
    """One method of the channel that is current when it is called."""

    def __init__(self, owner: RedialledChannel, make: Callable[[aio.Channel], object]) -> None:
        self._owner = owner
        self._make = make
        self._line = owner.line
        self._call = self._made()

    def __call__(self, *args: Any, **options: Any) -> Any:
        if self._line is not self._owner.line:
            self._line = self._owner.line
            self._call = self._made()
        return self._line.begin(self._call(*args, **options))

    def _made(self) -> Callable[..., Any]:
        return cast("Callable[..., Any]", self._make(self._line.channel))


async def _connects(channel: aio.Channel) -> bool:
    """Wait until a channel has a connection, or has failed to get one."""
    waiting = (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING)
    state = channel.get_state(try_to_connect=True)
    try:
        async with asyncio.timeout(_DIAL_SECONDS):
            while state in waiting:
                await channel.wait_for_state_change(state)
                state = channel.get_state(try_to_connect=True)
    except TimeoutError:
        return False
    return state is grpc.ChannelConnectivity.READY


def _stamp(files: Sequence[Path]) -> Stamp:
    return tuple(_stamp_of(file) for file in files)


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    """Return what changes with a file, and with the link of a mounted secret; None while it is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size

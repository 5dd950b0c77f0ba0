"""Streams that outlive connections: each goes on where the last one was lost."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

import grpc
import stamina

from protojobs_client.connection import Connection
from protojobs_client.retrying import Backoff
from protojobs_client.statuses import translate

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_AFTER_AN_END = 0.2  # seconds at most before the next stream: a server that drains ends its streams


class Answer(NamedTuple, Generic[ItemT]):
    """One message of a stream: items with the cursor behind each, and the cursor behind all."""

    items: Iterable[tuple[ItemT, bytes]]
    cursor: bytes


class AsyncWatch(AsyncIterator[ItemT], Generic[ItemT]):
    """Iterates over what a stream brings, for ever; use it as a context, or close it.

    A lost connection and a server that leaves are made good without a gap. Raises only what no retry can help
    (CursorExpiredError, InvalidArgumentError), and, until the first answer has come, what `Options.call_timeout` does not outlast.
    """

    def __init__(
        self,
        connection: Connection,
        start: Callable[[bytes], Any],
        read: Callable[[Any], Answer[ItemT]],
        *,
        silence: timedelta,
        cursor: bytes = b"",
    ) -> None:
        """`start` begins a stream behind a cursor, `read` reads its messages; a stream that is silent for so long is given up."""
        self._connection, self._start, self._read, self._silence = connection, start, read, silence
        self._cursor = cursor
        self._items: deque[tuple[ItemT, bytes]] = deque()
        self._call: Any = None
        self._backoff = Backoff()
        self._until: float | None = None  # when to give up, as long as nobody has answered
        self._answered = self._closed = False

    @property
    def cursor(self) -> bytes:
        """The place behind the last item that was given: keep it to go on there later."""
        return self._cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ItemT:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            await self._advance()
        item, self._cursor = self._items.popleft()
        return item

    async def begin(self) -> None:
        """Return once the server has answered: what happens from now on will come. Entering the context does it too."""
        while not self._answered and not self._closed:
            await self._advance()

    async def _advance(self) -> None:
        """Read one message, or wait until the next stream may begin."""
        try:
            if self._call is None:
                self._connection.check_open()
                self._call = self._start(self._cursor)
            async with asyncio.timeout(self._silence.total_seconds()):
                message = await self._call.read()
        except TimeoutError:
            self._drop()
        except grpc.RpcError as error:
            self._drop()
            await self._wait(error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._closed or (task is not None and task.cancelling()):
                self._drop()
                raise
        else:
            if message is grpc.aio.EOF:
                self._drop()
                await asyncio.sleep(random.uniform(0, _AFTER_AN_END))
            else:
                self._take(self._read(message))

    def _take(self, answer: Answer[ItemT]) -> None:
        self._answered, self._backoff = True, Backoff()
        self._items.extend(answer.items)
        if not self._items:
            self._cursor = answer.cursor

    async def _wait(self, error: grpc.RpcError) -> None:
        told = translate(error)
        wait, clock = self._backoff.after(told), asyncio.get_running_loop().time
        if self._until is None:
            self._until = clock() + self._connection.options.call_timeout.total_seconds()
        impatient = not self._answered and clock() + (wait or 0) >= self._until
        if wait is None or impatient or stamina.is_testing() or not stamina.is_active():
            raise told from error
        await asyncio.sleep(wait)

    def _drop(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    async def close(self) -> None:
        """End it; whoever iterates comes to the end. May be repeated."""
        self._closed = True
        self._items.clear()
        self._drop()

    async def __aenter__(self) -> Self:
        try:
            await self.begin()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()


class Watch(Iterator[ItemT], Generic[ItemT]):
    """The same for callers without an event loop; `close` may be called from another thread."""

    def __init__(self, watch: AsyncWatch[ItemT], run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._watch, self._run = watch, run

    @property
    def cursor(self) -> bytes:
        """The place behind the last item that was given: keep it to go on there later."""
        return self._watch.cursor

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ItemT:
        found: list[ItemT] = self._run(self._following())
        if not found:
            raise StopIteration
        return found[0]

    async def _following(self) -> list[ItemT]:
        try:
            return [await anext(self._watch)]
        except StopAsyncIteration:
            return []

    def begin(self) -> None:
        """Return once the server has answered: what happens from now on will come. Entering the context does it too."""
        self._run(self._watch.begin())

    def close(self) -> None:
        """End it; whoever iterates comes to the end. May be repeated."""
        self._run(self._watch.close())

    def __enter__(self) -> Self:
        self._run(self._watch.__aenter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

"""Listeners: a callback for each event of a name."""

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from protojobs_client.errors import ClientClosedError
from protojobs_client.events import JobEvent
from protojobs_client.watch import AsyncWatch, Watch

_log = logging.getLogger(__name__)

Callback = Callable[[JobEvent], object]
"""Gets the event; what it returns is awaited where it can be (AsyncClient)."""


class AsyncListener:
    """Calls back for events, as a context or by `await listener.run()`.

    An error of the callback is logged, and the next event comes.
    """

    def __init__(self, events: AsyncWatch[JobEvent], name: str, callback: Callback) -> None:
        self._events, self._name, self._callback = events, name, callback
        self._task: asyncio.Task[None] | None = None
        self._cursor = events.cursor

    @property
    def cursor(self) -> bytes:
        """The place behind the last event that the callback is done with: keep it to go on there later."""
        return self._cursor

    async def run(self) -> None:
        """Call back until it is stopped. Raises what `watch_jobs` raises."""
        async with self._events as events:
            async for event in events:
                if event.name == self._name:
                    await self._tell(event)
                self._cursor = event.cursor

    async def _tell(self, event: JobEvent) -> None:
        try:
            told = self._callback(event)
            if inspect.isawaitable(told):
                await told
        except Exception:  # noqa: BLE001 - whatever it is, the next event must come
            _log.exception("listener failed", extra={"event": event.name, "job_id": event.id})

    def on_thread(self, run: "Callable[[Coroutine[Any, Any, Any]], Any]") -> "Listener":
        """Return the same on a thread, begun; `run` runs coroutines on the client's event loop."""
        events = Watch(self._events, run)
        events.begin()
        return Listener(events, self._name, self._callback)

    async def stop(self) -> None:
        """End it, after the callback that is under way. Raises what ended it before. May be repeated."""
        await self._events.close()
        task, self._task = self._task, None
        if task is not None:
            await task

    async def __aenter__(self) -> Self:
        await self._events.begin()
        self._cursor = self._events.cursor
        # Owned by the listener: `stop` awaits it.
        self._task = asyncio.get_running_loop().create_task(self.run(), name=f"protojobs-{self._name}")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()


class Listener:
    """Calls back for events, on a thread of its own, from the start on.

    An error of the callback is logged, and the next event comes.
    """

    def __init__(self, events: Watch[JobEvent], name: str, callback: Callback) -> None:
        self._events, self._name, self._callback = events, name, callback
        self._cursor = events.cursor
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"protojobs-{name}", daemon=True)
        self._thread.start()

    @property
    def cursor(self) -> bytes:
        """The place behind the last event that the callback is done with: keep it to go on there later."""
        return self._cursor

    @property
    def running(self) -> bool:
        """It has not ended, by `stop` or an error."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            for event in self._events:
                if event.name == self._name:
                    self._tell(event)
                self._cursor = event.cursor
        except ClientClosedError:
            return
        except Exception as error:  # noqa: BLE001 - told to whoever stops it
            self._error = error
            _log.error("listener ended", extra={"event": self._name, "error": type(error).__name__})

    def _tell(self, event: JobEvent) -> None:
        try:
            self._callback(event)
        except Exception:  # noqa: BLE001 - whatever it is, the next event must come
            _log.exception("listener failed", extra={"event": event.name, "job_id": event.id})

    def stop(self) -> None:
        """End it, after the callback that is under way. Raises what ended it before. May be repeated."""
        with suppress(ClientClosedError):
            self._events.close()
        if self._thread is not threading.current_thread():
            self._thread.join()
            error, self._error = self._error, None
            if error is not None:
                raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

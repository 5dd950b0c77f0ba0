"""An event loop on a thread of its own, for callers that have none."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from protojobs_client.errors import ClientClosedError, ClientForkedError

ResultT = TypeVar("ResultT")


class LoopThread:
    """Runs coroutines for any thread. Starts with the first, so that a process may fork before it."""

    def __init__(self, cleanup: Callable[[], Awaitable[None]]) -> None:
        """`cleanup` runs on the loop when it stops, if it has run."""
        self._cleanup = cleanup
        # Reentrant: signal handlers and finalizers may come in while this thread holds it.
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._pid: int | None = None
        self._stopped = False

    def run(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run a coroutine to its end, in the calling thread's context, and return its result.

        An interrupt of the caller (KeyboardInterrupt) cancels it.
        """
        try:
            future = self._submit(coroutine)
        except BaseException:
            coroutine.close()
            raise
        try:
            return future.result()
        except CancelledError:
            raise _closed() from None
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Clean up and end the thread. Later calls raise ClientClosedError. May be repeated."""
        if self._is_forked():
            return
        with self._lock:
            self._stopped = True
            thread, self._thread = self._thread, None
            if thread is None or self._loop is None or self._stopping is None:
                return
            self._loop.call_soon_threadsafe(self._stopping.set)
        if thread is not threading.current_thread():
            thread.join()

    def _submit(self, coroutine: Coroutine[Any, Any, ResultT]) -> Future[ResultT]:
        if self._is_forked():
            raise ClientForkedError("in use before the fork: make a client in each process")
        # Under the lock nothing can be submitted after the loop was told to stop, and then wait for ever.
        with self._lock:
            if self._stopped:
                raise _closed()
            if self._loop is None:
                self._loop = self._start()
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _is_forked(self) -> bool:
        return self._pid is not None and self._pid != os.getpid()

    def _start(self) -> asyncio.AbstractEventLoop:
        started = Future[asyncio.AbstractEventLoop]()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(started)), name="protojobs-client", daemon=True)
        self._pid = os.getpid()
        self._thread.start()
        return started.result()

    async def _main(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        self._stopping = asyncio.Event()
        started.set_result(asyncio.get_running_loop())
        await self._stopping.wait()
        await self._cleanup()


def _closed() -> ClientClosedError:
    return ClientClosedError("the client is closed")

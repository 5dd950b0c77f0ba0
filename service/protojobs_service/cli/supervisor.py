"""Keeps the processes of one server: starts them, starts again those that die, ends them together."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from random import Random
from time import monotonic
from typing import Final, Protocol

from protojobs_service.cli.output import ExitCode
from protojobs_service.domain.retry import Jitter, Policy, backoff

AGAIN: Final = Policy(initial_backoff=timedelta(seconds=0.25), max_backoff=timedelta(seconds=30), jitter=Jitter.FULL)
"""When a process that has died starts again: what kills it at once must not keep a core and the store busy."""
_LASTING_S: Final = 60.0
"""A process that has lived so long has shown that it can: its next death is a first one."""

_log = logging.getLogger(__name__)


class Child(Protocol):
    """One process, from its start to its end."""

    def reports(self) -> AsyncIterator[bool]:
        """Yield whether it is ready, at every change, until it has no more to say: it ends."""
        ...

    async def ended(self) -> int:
        """Return its exit code once it has ended: negative for a signal that killed it."""
        ...

    def tell(self, *, all_ready: bool) -> None:
        """Tell it whether all processes are ready."""
        ...

    def stop(self) -> None:
        """Ask it to drain and end. Safe to repeat."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


Launch = Callable[[int, bool], Awaitable[Child]]
"""Starts the process of a number, from 1; True: for the first time."""


class Supervisor:
    """Keeps `count` processes. stop: set to end them all. again: when a process that has died starts again."""

    def __init__(self, count: int, launch: Launch, stop: asyncio.Event, rng: Random, *, again: Policy = AGAIN) -> None:
        self._numbers = range(1, count + 1)
        self._launch = launch
        self._stop = stop
        self._rng = rng
        self._again = again
        self._children: dict[int, Child] = {}
        self._ready: set[int] = set()
        self._have_been_ready: set[int] = set()
        self._one_ready = asyncio.Event()
        self._code = int(ExitCode.OK)

    async def run(self) -> int:
        """Return the exit code once `stop` is set and every process has ended.

        Not 0: a process could not start, and all others were stopped; or one did not end well. It is the code of the first of them.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stop_all())
            for number in self._numbers:
                tasks.create_task(self._keep(number), name=f"process {number}")
        return self._code

    def kill(self) -> None:
        """End every process at once."""
        for child in self._children.values():
            child.kill()

    async def _stop_all(self) -> None:
        await self._stop.wait()
        self._one_ready.set()
        for child in self._children.values():
            child.stop()

    async def _keep(self, number: int) -> None:
        # What hinders all of them is said by the first, once.
        if number > 1:
            await self._one_ready.wait()
        first, deaths = True, 0
        while not self._stop.is_set():
            began = monotonic()
            code = await self._live(number, first)
            if self._stop.is_set() or number not in self._have_been_ready:
                self._end(number, code)
                return
            first, deaths = False, 1 if monotonic() - began > _LASTING_S else deaths + 1
            wait = backoff(self._again, deaths, self._rng).total_seconds()
            told = {"process_no": number, "exit_code": code, "again_in_s": round(wait, 3)}
            _log.error("process of the server ended, and starts again", extra=told)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), wait)

    async def _live(self, number: int, first: bool) -> int:
        """Start a process and return its exit code when it has ended."""
        try:
            child = self._children[number] = await self._launch(number, first)
        except OSError as error:
            _log.error("process of the server cannot be started", extra={"process_no": number, "why": str(error)})
            return ExitCode.UNAVAILABLE
        if self._stop.is_set():
            child.stop()
        async for ready in child.reports():
            self._hear(number, ready)
        code = await child.ended()
        del self._children[number]
        self._hear(number, False)
        return code

    def _hear(self, number: int, ready: bool) -> None:
        if ready:
            self._ready.add(number)
            self._have_been_ready.add(number)
            self._one_ready.set()
        else:
            self._ready.discard(number)
        all_ready = len(self._ready) == len(self._numbers)
        if all_ready and ready:
            _log.info("all processes of the server are ready")
        for child in self._children.values():
            child.tell(all_ready=all_ready)

    def _end(self, number: int, code: int) -> None:
        """Take a process as ended for good, and the others with it."""
        if code < 0:
            # It had no time to say anything.
            _log.error("process of the server was killed", extra={"process_no": number, "signal": -code})
        if not self._stop.is_set() and code == 0:
            code = ExitCode.UNAVAILABLE
        self._code = self._code or (code if code >= 0 else 128 - code)
        self._stop.set()

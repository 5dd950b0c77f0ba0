"""How long the server leaves callers waiting who want nothing of the store."""

import os
from types import TracebackType
from typing import Final, Self

from benchmarks.stack import Stack
from benchmarks.times import notes, percentiles
from benchmarks.waiting import until
from tests.checker import History

STALL_MS: Final = 100.0
"""The longest that a ping may take."""
_AHEAD: Final = -10


class Pings:
    """A process that asks for GetServerInfo each 10 ms, as long as the context lasts. What blocks the event loop delays an answer.

    It goes before other processes where it may, so that it does not measure how busy the machine is.
    """

    def __init__(self, stack: Stack, about: str) -> None:
        self._stack = stack
        self._about = about
        self._name = f"pinger-{about}"

    def __enter__(self) -> Self:
        """Start it."""
        history = self._stack.directory / f"{self._name}.jsonl"
        self._stack.launch("pinger", self._name, queue=self._about)
        until("the pinger pings", lambda: history.exists() and b"pinging" in history.read_bytes(), within=30)
        if os.geteuid() == 0:
            os.setpriority(os.PRIO_PROCESS, self._stack.programs[self._name].pid, _AHEAD)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it."""
        self._stack.end(self._name, within=30)

    @staticmethod
    def read(history: History, about: str) -> dict[str, float]:
        """Return percentiles of the answers' times, milliseconds."""
        return percentiles(seconds for seen in notes(history, "pings", about) for seconds in seen["took"])

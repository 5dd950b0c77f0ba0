"""Two ways into the store for what is dispatched, so that small jobs do not wait while large ones are written."""

import asyncio
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Final

from protojobs_service.domain.counting import counted
from protojobs_service.drivers.sql.dispatching import DispatchCall
from protojobs_service.drivers.sql.pipelines import Pipeline
from protojobs_service.port.jobs import Dispatched
from protojobs_service.port.sender import sender

DispatchPipeline = Pipeline[DispatchCall, Sequence[Dispatched]]

_LARGE: Final = 256 * 1024
_LARGE_JOB: Final = 4 * 1024
"""Bytes of a call, and of its jobs on average, from which on it is large: writing it takes tens of milliseconds."""


class Roads:
    """Sends calls of large jobs by a pipeline of their own; what one sender has on its way goes by one of them, in its order."""

    def __init__(self, plain: DispatchPipeline, aside: DispatchPipeline) -> None:
        """Send by these."""
        self._plain, self._aside = plain, aside
        self._plain_calls: Counter[Hashable] = Counter()
        self._aside_calls: Counter[Hashable] = Counter()

    async def run(self, call: DispatchCall) -> Sequence[Dispatched]:
        """Return what became of the jobs of a call, after the commit; see Pipeline.run."""
        who = sender()
        goes_aside = who in self._aside_calls or (_is_large(call) and who not in self._plain_calls)
        calls = self._aside_calls if goes_aside else self._plain_calls
        with counted(calls, who):
            return await (self._aside if goes_aside else self._plain).run(call)

    async def close(self) -> None:
        """Refuse new calls and finish those that are pending."""
        await asyncio.gather(self._plain.close(), self._aside.close())


def _is_large(call: DispatchCall) -> bool:
    return call.size >= _LARGE and call.size >= _LARGE_JOB * len(call.jobs)

"""How late the event loop is."""

import asyncio
import logging

_LOOP_TICK = 0.25

_log = logging.getLogger(__name__)


class LoopWatch:
    """Measures how late the event loop is; the worst since somebody last asked."""

    def __init__(self) -> None:
        self._worst = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LOOP_TICK
            await asyncio.sleep(_LOOP_TICK)
            late = loop.time() - due
            self._worst = max(self._worst, late)
            if late > 1.0:
                _log.warning("event loop was blocked", extra={"seconds": round(late, 3)})

    def take(self) -> float:
        """Return the worst lag since the last call, s."""
        worst, self._worst = self._worst, 0.0
        return worst

"""How late the event loop is."""

import asyncio
import logging

_LOOP_TICK = 0.25
_KEPT = 60.0

_log = logging.getLogger(__name__)


class LoopWatch:
    """Measures how late the event loop is; the worst of the last one to two minutes, whoever asks and how often."""

    def __init__(self) -> None:
        self._worst = self._worst_before = 0.0
        self._since = float("-inf")

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LOOP_TICK
            await asyncio.sleep(_LOOP_TICK)
            now = loop.time()
            late = now - due
            self.note(now, late)
            if late > 1.0:
                _log.warning("event loop was blocked", extra={"seconds": round(late, 3)})

    def note(self, now: float, late: float) -> None:
        """Take a measurement, s."""
        if now - self._since >= _KEPT:
            self._since, self._worst_before, self._worst = now, self._worst, 0.0
        self._worst = max(self._worst, late)

    def worst(self) -> float:
        """Return the worst lag, s."""
        return max(self._worst, self._worst_before)

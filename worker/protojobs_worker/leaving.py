"""How a worker leaves: it finishes what runs, after a while asks it to stop, then gives it back."""

import logging
from collections.abc import Callable
from typing import Final

from protojobs_worker.context import StopReason
from protojobs_worker.holding import Holding, Phase
from protojobs_worker.options import ExitReason, WorkerOptions
from protojobs_worker.outcomes import Released, ReleaseReason

logger = logging.getLogger(__name__)

_CONFIRM_SECONDS: Final = 5.0
_CONFIRM_KILLED_SECONDS: Final = 0.5


class Leaving:
    """The way from the first request to leave to the end of the session."""

    def __init__(self, options: WorkerOptions, holding: Holding, wake: Callable[[], None], clock: Callable[[], float]) -> None:
        self.exit: ExitReason | None = None
        self._options = options
        self._holding = holding
        self._wake = wake
        self._clock = clock
        self._grace = options.grace
        self._began_at = 0.0
        self._stopped_running = False
        self._given_back_at: float | None = None

    @property
    def deadline(self) -> float:
        """Seconds from the first request until everything goes back."""
        return self._grace + self._options.stop_grace

    def quiet(self) -> None:
        """Take no more jobs, and give back what has not begun."""
        if self._holding.phase is Phase.WORKING:
            self._holding.phase = Phase.QUIET
            self._holding.ledger.release_waiting(ReleaseReason.SHUTDOWN)
            logger.info("quiet: taking no more jobs")
            self._wake()

    def leave(self, reason: ExitReason, *, within: float | None = None) -> None:
        """Finish what runs, for `within` seconds at most. A later call changes nothing, unless it says KILLED."""
        holding = self._holding
        if within is not None:
            self._grace = min(self._grace, within)
        if holding.phase is not Phase.LEAVING:
            holding.phase = Phase.LEAVING
            self.exit = reason
            self._began_at = self._clock()
            holding.ledger.drop_waiting()
            logger.info("leaving", extra={"reason": reason.label, "running": holding.ledger.running})
        elif reason is ExitReason.KILLED:
            self.exit = reason
        self._wake()

    def press(self, now: float, *, connected: bool) -> bool:
        """After the soft stop cancel handlers, after the hard stop give their jobs back. True: nothing is left to do."""
        if self._holding.phase is not Phase.LEAVING:
            return False
        ledger, killed = self._holding.ledger, self.exit is ExitReason.KILLED
        if not self._stopped_running and (killed or now >= self._began_at + self._grace):
            self._stopped_running = True
            self._holding.stop(ledger.running_leases(), StopReason.SHUTDOWN)
        if self._given_back_at is None and (killed or now >= self._began_at + self.deadline):
            self._given_back_at = now
            for lease in list(ledger.running_leases()):
                ledger.conclude(lease, Released(ReleaseReason.SHUTDOWN))
            self._wake()
        if self._given_back_at is None:
            return not connected and self._holding.nothing_left
        patience = _CONFIRM_KILLED_SECONDS if killed else _CONFIRM_SECONDS
        return not len(ledger) or now >= self._given_back_at + patience

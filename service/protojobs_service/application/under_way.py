"""How many jobs of each caller are on their way to the store: what would wait for seconds is refused while it costs nothing yet."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

from protojobs_service.application.clock import Clock
from protojobs_service.domain.bounds import MAX_JOBS_UNDER_WAY
from protojobs_service.domain.counting import counted
from protojobs_service.domain.errors import Overloaded
from protojobs_service.port.sender import sender

_SOONEST_S, _LATEST_S = 0.25, 10.0
_APART_S = 0.005
"""Between those who are refused, when they come again: a thousand calls of one instant keep a server's loop for a second."""


class UnderWay:
    """Counts jobs of calls that are not answered yet; streams have windows. Belongs to the event loop."""

    def __init__(self, clock: Clock, most: int = MAX_JOBS_UNDER_WAY) -> None:
        """Begin with none. most: of one caller, before no further call of it is taken."""
        self._most = most
        self._clock = clock
        self._jobs: Counter[str] = Counter()
        self._last_again = 0.0

    def check(self) -> None:
        """Raise Overloaded where this caller has too many; whatever it has, a call that was taken is finished."""
        if self._jobs[sender().caller] >= self._most:
            message = "this caller has too many jobs on their way"
            raise Overloaded(message, retry_after=self._again(), metadata={"limit": "jobs_under_way"})

    @contextmanager
    def one(self, jobs: int) -> Generator[None]:
        """Count a call of so many jobs as long as the context lasts."""
        if sender().is_stream:
            yield
            return
        with counted(self._jobs, sender().caller, jobs):
            yield

    def _again(self) -> timedelta:
        """Return how long to wait: each who is told comes a little later than the one before, up to a bound."""
        now = self._clock.monotonic()
        self._last_again = min(max(self._last_again + _APART_S, now + _SOONEST_S), now + _LATEST_S)
        return timedelta(seconds=self._last_again - now)

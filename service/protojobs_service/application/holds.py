"""Queues that a limit keeps back, as far as this replica has heard: they are left out of claims until that may have changed."""

from collections.abc import Collection

from protojobs_service.application.clock import Clock
from protojobs_service.application.timings import Timings
from protojobs_service.domain.queue_limits import Hold


class Holds:
    """Remembers until when it is of no use to ask; a memory that errs costs a claim or a quarter second, never a place."""

    def __init__(self, clock: Clock, timings: Timings) -> None:
        """Begin without any."""
        self._clock = clock
        self._timings = timings
        self._until: dict[str, float] = {}
        self._lifted: set[str] = set()
        self._untold: dict[str, Hold] = {}

    @property
    def queues(self) -> Collection[str]:
        """Return the queues that are kept back."""
        return self._until.keys()

    def begin(self) -> None:
        """Note that a claim begins: what is lifted from now on is not kept back by what the claim has seen."""
        self._lifted.clear()

    def note(self, queue: str, hold: Hold) -> None:
        """Keep a queue back: by a rate until its next token, by max_in_flight until a job ends here, or elsewhere: one poll."""
        if queue in self._lifted:
            return
        wait = self._timings.idle_poll if hold.wait_us is None else hold.wait_us / 1_000_000
        self._until[queue] = self._clock.monotonic() + wait
        if hold.jobs:
            self._untold[queue] = hold

    def untold(self) -> dict[str, Hold]:
        """Return what keeps jobs back since the last call."""
        untold, self._untold = self._untold, {}
        return untold

    def lift(self, queues: Collection[str]) -> set[str]:
        """Ask again for these queues; returns those that were kept back."""
        self._lifted.update(queues)
        return {queue for queue in queues if self._until.pop(queue, None) is not None}

    def lift_due(self) -> set[str]:
        """Ask again for the queues whose time is over; returns them."""
        now = self._clock.monotonic()
        return self.lift([queue for queue, until in self._until.items() if until <= now])

    def patience(self) -> float:
        """Return in how many seconds the next one is over; a poll at most."""
        longest = self._timings.idle_poll
        if not self._until:
            return longest
        return max(0.0, min(longest, min(self._until.values()) - self._clock.monotonic()))

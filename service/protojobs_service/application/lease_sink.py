"""What the server tells a worker on its stream, whatever that is made of."""

from collections.abc import Sequence
from datetime import timedelta
from enum import Enum
from typing import NamedTuple, Protocol

from protojobs_service.domain.errors import JobsError
from protojobs_service.domain.job import JobId, Lease
from protojobs_service.domain.queue_limits import HoldCause


class StopCause(Enum):
    """Why a handler must stop."""

    CANCELLED = 1
    TIMEOUT = 2
    LEASE_LOST = 3


class Stop(NamedTuple):
    """A handler to stop. remaining: with CANCELLED, until the lease is revoked."""

    id: JobId
    attempt: int
    cause: StopCause
    remaining: timedelta | None = None


class DrainCause(Enum):
    """Why a stream ends."""

    SHUTDOWN = 1
    AGE = 2
    REBALANCE = 3
    WORKER = 4
    STORE = 5


class LeaseSink(Protocol):
    """What a stream does with what it gets. No method waits, and none calls back."""

    def deliver(self, leases: Sequence[Lease]) -> None:
        """Send leases, in this order, and call `LeaseSession.sent` for each frame."""
        ...

    def withdraw(self) -> None:
        """Drop the leases that no frame has carried; they go back."""
        ...

    def stop(self, stops: Sequence[Stop]) -> None:
        """Tell the worker which handlers to stop."""
        ...

    def drain(self, cause: DrainCause, deadline: timedelta, reconnect_after: timedelta) -> None:
        """Tell the worker to go to another stream, after everything delivered so far."""
        ...

    def throttle(self, queue: str, cause: HoldCause, until: timedelta | None) -> None:
        """Tell the worker why nothing comes from a queue, and for how long at least where that is known."""
        ...

    def end(self, error: JobsError | None) -> None:
        """End the stream, with OK or an error."""
        ...

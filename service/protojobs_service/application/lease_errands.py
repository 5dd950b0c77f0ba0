"""What is still to be done for streams in the store: written down by whoever finds it, done by `lease_watch`."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType

from protojobs_service.application.lease_session import LeaseSession
from protojobs_service.domain.job import Handle, JobId, Lease
from protojobs_service.domain.outcome import Release, ReleaseCause
from protojobs_service.domain.recent import Recent
from protojobs_service.port import Settlement

NOT_HELD = Release(cause=ReleaseCause.NOT_HELD)

LeaseKey = tuple[Handle, JobId, int]
"""A lease: the third is its attempt."""

_MOST_STRAYS = 50_000


class Errands:
    """Leases to give back, streams to let go of and sessions to close, in this order."""

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self.returns: list[Settlement] = []
        self.lanes: dict[JobId, tuple[str, str]] = {}
        """(queue, kind) of jobs in `returns`, where they are known."""
        self.detaches: list[tuple[Handle, Sequence[JobId], timedelta | None]] = []
        self.closings: list[LeaseSession] = []
        self._strays = Recent[LeaseKey, None](_MOST_STRAYS)
        self.asked = asyncio.Event()
        """Set when there is something to do."""
        self.doubt = asyncio.Event()
        """Set when the answer of a claim or a dispatch was lost: the store may know of leases that this replica does not."""

    def __bool__(self) -> bool:
        """Tell whether anything is left to do."""
        return bool(self.returns or self.detaches or self.closings)

    def give_back(self, settlements: Iterable[Settlement], lanes: Mapping[JobId, tuple[str, str]] = MappingProxyType({})) -> None:
        """Have leases ended from this side. lanes: queue and kind of their jobs, for those who count."""
        self.returns.extend(settlements)
        self.lanes.update(lanes)
        self.asked.set()

    def give_back_strays(self, strays: Collection[LeaseKey]) -> None:
        """Have leases ended that the store has and no stream; whoever brings one of them later is late, see `in_time`."""
        for key in strays:
            self._strays[key] = None
        self.give_back(Settlement(job_id, attempt, handle, NOT_HELD, by_server=True) for handle, job_id, attempt in strays)

    def in_time(self, leases: list[Lease]) -> list[Lease]:
        """Leave out what was given back as a stray before the answer came that brings it: another worker may have it by now."""
        if not self._strays:
            return leases
        return [lease for lease in leases if (lease.handle, lease.id, lease.attempt) not in self._strays]

    def send_back(self, leases: Sequence[Lease]) -> None:
        """Have leases returned that no stream has taken."""
        self.give_back(
            (Settlement(lease.id, lease.attempt, lease.handle, NOT_HELD, by_server=True) for lease in leases),
            {lease.id: (lease.queue, lease.kind) for lease in leases},
        )

    def detach(self, handle: Handle, started: Sequence[JobId], grace: timedelta | None) -> None:
        """Have a stream's session expire after `grace`, or None: at its ttl. started: its jobs that had begun."""
        self.detaches.append((handle, started, grace))
        self.asked.set()

    def close(self, session: LeaseSession) -> None:
        """Have a session closed, with everything that it has given back uncounted."""
        self.closings.append(session)
        self.asked.set()

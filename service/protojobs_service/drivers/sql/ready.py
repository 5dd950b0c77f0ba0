"""What this replica knows of `ready` and of its workers' room: where jobs arrived, and how long a backlog has stood."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from protojobs_service.domain.job import Handle, Lease
from protojobs_service.domain.queue_limits import Hold
from protojobs_service.drivers.sql.cold.waiting import Arrival
from protojobs_service.drivers.sql.lanes import Lanes
from protojobs_service.drivers.sql.marks import Marks
from protojobs_service.drivers.sql.positions import Positions
from protojobs_service.drivers.sql.store import Store
from protojobs_service.port.driver import NO_FOLLOW_UPS, NOBODY, FollowUps, Room, Witness

_YOUNG_S = 0.1
_SAMPLES = 4


class NoRoom(Room):
    """The room of a driver that nobody has opened."""

    def free(self) -> int:
        return 0

    def turning_over(self) -> bool:
        return False

    def reserve(self, jobs: Sequence[tuple[str, str, int]]) -> list[Handle]:
        return [Handle(0)] * len(jobs)

    def deliver(self, leases: Sequence[Lease]) -> None: ...

    def unreserve(self, places: Sequence[tuple[Handle, int]]) -> None: ...

    def arrived(self, queues: Collection[str]) -> None: ...

    def held_back(self, holds: Mapping[str, Hold]) -> None: ...


class Ready:
    """Joins the pipelines: dispatch and settle put jobs in, claim takes them out. Belongs to the event loop."""

    def __init__(self, store: Store, positions: Positions, marks: Marks, lanes: Lanes) -> None:
        """Start with an empty backlog and no room."""
        self.positions, self.marks = positions, marks
        self._store, self._lanes = store, lanes
        self.room: Room = NoRoom()
        self.follow_ups: FollowUps = NO_FOLLOW_UPS
        self.witness: Witness = NOBODY
        self.open_handles: dict[int, float] = {}
        """Handles that were seen open, and when (monotonic); cleared whenever this replica may have closed one."""
        self._backlog = 0
        self._since = 0.0
        self._turn = asyncio.Event()

    def add(self, arrivals: Collection[Arrival], n: int, *, announced: bool = False) -> None:
        """Tell the claims, the workers here and the other replicas (unless the store has) of `n` jobs that became claimable."""
        if not arrivals:
            return
        if self._backlog == 0:
            self._since = time.monotonic()
        self._backlog += n
        for lane, band, front in arrivals:
            self.marks.arrived(lane, band, front=front)
        lanes = {lane for lane, _, _ in arrivals}
        if not announced:
            self._store.announce(lanes)
        self.room.arrived({self._lanes.name(lane)[0] for lane in lanes})

    def leased(self, n: int, wait_of: Callable[[int], tuple[str, float] | None]) -> None:
        """Tell how long some of `n` jobs had waited that were just leased, spread evenly and with the first of them.

        wait_of: of a place its queue and seconds, None where they are not known.
        """
        for place in range(0, n, max(1, -(-n // _SAMPLES))):
            wait = wait_of(place)
            if wait is not None:
                self.witness.waited(*wait)

    def heard(self, lanes: Collection[int]) -> None:
        """Tell claims and workers of jobs that another replica has stored. Lanes not read yet come with the next reload."""
        queues = {lane: queue for lane in lanes if (queue := self._lanes.name(lane)[0])}
        self.marks.suspect(queues)
        if queues:
            self.room.arrived(set(queues.values()))

    def took(self, n: int, *, drained: bool) -> None:
        """Note that a claim took `n` jobs, and whether that was all there was."""
        self._backlog = 0 if drained else max(0, self._backlog - n)
        self.turned()

    def has_young_backlog(self) -> bool:
        """Tell whether jobs stand in `ready` that came within the last 100 ms: the next claim may well take them all."""
        return self._backlog > 0 and time.monotonic() - self._since < _YOUNG_S

    def turned(self) -> None:
        """Wake whoever waits for room: attempts have ended, or jobs were claimed."""
        self._turn.set()

    async def wait_for_turn(self, longest_s: float) -> None:
        """Return once attempts have ended or jobs were claimed, or after `longest_s`."""
        self._turn.clear()
        try:
            async with asyncio.timeout(longest_s):
                await self._turn.wait()
        except TimeoutError:
            return

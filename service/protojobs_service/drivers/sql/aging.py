"""Priorities that grow with waiting: before a claim, the probes of such queues are put in order by how long the first jobs wait.

Nothing is rewritten: a probe of a lower band whose first job has waited k intervals is tried k bands earlier. What stands behind
that job in its band comes along, for as many places as one claim has.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from protojobs_service.drivers.sql.cold.base import Cold
from protojobs_service.drivers.sql.cold.heads import Spot, heads
from protojobs_service.drivers.sql.lanes import Lanes
from protojobs_service.drivers.sql.marks import Marks
from protojobs_service.drivers.sql.store import Probe, Store

_HIGHEST = 1


class Waits(NamedTuple):
    """Positions of the first jobs, which are times of arrival, and the time now; empty where no queue ages."""

    heads: Mapping[Spot, int]
    now: int


NOBODY = Waits({}, 0)


async def read_waits(store: Store, cold: Cold, lanes: Lanes, marks: Marks, queues: Collection[str]) -> Waits:
    """Return how long the first jobs of these queues wait, of those that age."""
    aging = [lane for queue in queues for lane in lanes.of_queue(queue) if lane in lanes.aging]
    spots = sorted({Spot(lane, band) for lane, band in marks.known(aging)})
    if not spots:
        return NOBODY
    return await store.run(lambda c: Waits(heads(c, cold, spots), cold.clock(c)), write=False)


def aged(probes: Sequence[Probe], aging: Mapping[int, int], waits: Waits) -> list[Probe]:
    """Return the probes of one queue in the order to try; of bands that are equal by now, the longest wait comes first."""
    if not waits.heads:
        return list(probes)

    def rank(probe: Probe) -> tuple[int, int]:
        head = waits.heads.get(Spot(probe.lane, probe.band))
        if head is None or probe.lane not in aging:
            return probe.band, 0
        return max(_HIGHEST, probe.band - max(0, waits.now - head) // aging[probe.lane]), head

    return sorted(probes, key=rank)

"""Where a claim looks: which (lane, band) may have jobs, and from which position on.

A claim that starts at the low-water mark skips the dead index entries of everything that was claimed before (measured while another
transaction held an old snapshot: 9 instead of 41 us a job). Marks are a guess that must only ever be too low for what arrives; what
other replicas put below one is found by the scans from the beginning.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from protojobs_service.drivers.sql.positions import FRONT_SHIFT, LAG_US, Positions
from protojobs_service.drivers.sql.store import Claimed, Probe

BANDS = range(1, 10)
LOWEST = -(1 << 62)
_BUSY_SCAN_US = 5_000_000
_IDLE_SCAN_US = 250_000
_MOST_EMPTY_SCANS = 256
"""Lanes without jobs by the counters that one claim looks through all the same: 2304 places, some ten milliseconds."""


@dataclass(slots=True)
class _Spot:
    """One (lane, band). arrived, returned: the tick of the last job known to have come (back), None when all were taken since."""

    low: int = LOWEST
    front: int = LOWEST
    arrived: int | None = None
    returned: int | None = None


class Marks:
    """The memory of one replica's claims. Belongs to the event loop."""

    def __init__(self, positions: Positions) -> None:
        """Start knowing nothing: the first claim of a lane scans it."""
        self._positions = positions
        self._spots: dict[tuple[int, int], _Spot] = {}
        self._scanned: dict[int, int] = {}
        self._idle: set[int] = set()
        self._live: set[int] = set()
        """Lanes of which a place has an `arrived`, and maybe others."""
        self._counted: frozenset[int] = frozenset()
        self._tick = 0
        self._empty_scans = _MOST_EMPTY_SCANS
        self.fair: frozenset[int] = frozenset()
        """Lanes in which jobs arrive at any position: they have no mark."""

    def arrived(self, lane: int, band: int, *, front: bool = False) -> None:
        """Note that (lane, band) has got a job."""
        spot = self._spots.setdefault((lane, band), _Spot())
        spot.arrived = self._tick
        self._live.add(lane)
        if front:
            spot.returned = self._tick

    def counted(self, lanes: Collection[int]) -> None:
        """Note which lanes have jobs by the counters. Only these are looked through again and again while nothing is found there.

        A server may serve ten thousand lanes, each with nine places to look.
        """
        self._counted = frozenset(lanes)
        self.suspect(lanes)

    def suspect(self, lanes: Iterable[int]) -> None:
        """Note that lanes have jobs of which only the counters tell."""
        for lane in lanes:
            for band in BANDS:
                self.arrived(lane, band)

    def knows(self, lane: int) -> bool:
        """Tell whether a lane is known to have jobs."""
        return lane in self._live and any(
            (spot := self._spots.get((lane, band))) is not None and spot.arrived is not None for band in BANDS
        )

    def forget(self) -> None:
        """Scan everything again: the store's clock has made a step, or settings have changed."""
        self._spots.clear()
        self._scanned.clear()
        self._live.clear()

    def look_again(self) -> None:
        """Let some more lanes be looked through that seem empty: another claim begins."""
        self._empty_scans = _MOST_EMPTY_SCANS

    def begin(self) -> int:
        """Return the tick at which a claim starts: what arrives later is not found empty by it."""
        self._tick += 1
        return self._tick

    def known(self, lanes: Iterable[int]) -> list[tuple[int, int]]:
        """Return the (lane, band) of these lanes that are known to have jobs, or may have some by the counters."""
        return [
            (lane, band)
            for lane in lanes
            if lane in self._live
            for band in BANDS
            if (spot := self._spots.get((lane, band))) is not None and spot.arrived is not None
        ]

    def probes(self, lanes: Sequence[int]) -> list[Probe]:
        """Return where to look in these lanes, by band; lanes that are due are looked through from the beginning."""
        now = self._positions.now()
        scan = {lane for lane in lanes if self._is_due(lane, now) and self._may_scan(lane)}
        found: list[Probe] = []
        lanes = [lane for lane in lanes if lane in scan or lane in self._live]
        for band in BANDS:
            for lane in lanes:
                spot = self._spots.get((lane, band))
                if lane in scan:
                    found.append(Probe(lane, band, LOWEST))
                elif spot is not None and spot.arrived is not None:
                    low = spot.low if spot.returned is None else spot.front
                    found.append(Probe(lane, band, LOWEST if lane in self.fair else low))
        return found

    def claimed(self, probes: Sequence[Probe], rows: Sequence[Claimed], *, tick: int, safe: int, drained: bool) -> None:
        """Learn from a claim. safe: Positions.safe() when it started. drained: it ended because nothing was left."""
        reached: dict[tuple[int, int], int] = {}
        for row in rows:
            key = (row.lane, row.band)
            reached[key] = max(row.position, reached.get(key, LOWEST))
        last = max((i for i, probe in enumerate(probes) if (probe.lane, probe.band) in reached), default=-1)
        for i, probe in enumerate(probes):
            spot = self._spots.setdefault((probe.lane, probe.band), _Spot())
            if drained or i < last:
                self._emptied(spot, tick, safe)
            elif i == last:
                self._advance(spot, reached[probe.lane, probe.band], tick, safe, is_scan=probe.low == LOWEST)
                self._live.add(probe.lane)
            elif probe.low == LOWEST:  # the places were filled before: this part of a scan is still to be done
                spot.low, spot.front, spot.arrived = LOWEST, LOWEST, self._tick
                self._live.add(probe.lane)
        self._note_scans(probes, drained=drained)

    def _note_scans(self, probes: Sequence[Probe], *, drained: bool) -> None:
        lanes = {probe.lane for probe in probes}
        self._live -= {lane for lane in lanes if not self.knows(lane)}
        self._idle = (self._idle | lanes) if drained else (self._idle - lanes)
        from_start = Counter(probe.lane for probe in probes if probe.low == LOWEST)
        now = self._positions.now()
        self._scanned.update({lane: now for lane, bands in from_start.items() if bands == len(BANDS)})

    def _emptied(self, spot: _Spot, tick: int, safe: int) -> None:
        spot.low = max(spot.low, safe)
        spot.front = max(spot.front, safe - FRONT_SHIFT - LAG_US)
        spot.arrived = _unless_before(spot.arrived, tick)
        spot.returned = _unless_before(spot.returned, tick)

    def _advance(self, spot: _Spot, reached: int, tick: int, safe: int, *, is_scan: bool) -> None:
        """Move the mark to what was reached; a scan may have found jobs below it, so that it goes back."""
        spot.arrived = self._tick if spot.arrived is None else spot.arrived
        if reached < 0:
            front = min(reached, safe - FRONT_SHIFT - LAG_US)
            spot.returned = self._tick if spot.returned is None else spot.returned
            spot.front = front if is_scan else max(spot.front, front)
            spot.low = LOWEST if is_scan else spot.low
        else:
            low = min(reached, safe)
            spot.returned = _unless_before(spot.returned, tick)
            spot.low = low if is_scan else max(spot.low, low)

    def _may_scan(self, lane: int) -> bool:
        """Tell whether a lane that is due is looked through by this claim: of those that seem empty some wait for the next ones."""
        if lane in self._counted:
            return True
        self._empty_scans -= 1
        return self._empty_scans >= 0

    def _is_due(self, lane: int, now: int) -> bool:
        last = self._scanned.get(lane)
        wait = _IDLE_SCAN_US if lane in self._idle and lane in self._counted else _BUSY_SCAN_US
        return last is None or not 0 <= now - last < wait


def _unless_before(at: int | None, tick: int) -> int | None:
    return at if at is not None and at >= tick else None

"""Where claims look: never past a job that may still be there."""

import pytest
from protojobs_service.drivers.sql.marks import BANDS, LOWEST, Marks
from protojobs_service.drivers.sql.positions import LAG_US, Positions
from protojobs_service.drivers.sql.store import Claimed, Probe

NOW = 1_800_000_000_000_000
SECOND = 1_000_000


class Time:
    """A clock in the hand of the test; microseconds."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def time() -> Time:
    """Return a clock that stands still."""
    return Time()


@pytest.fixture
def positions(time: Time) -> Positions:
    """Return positions that were measured once."""
    positions = Positions(time)
    positions.measure(NOW)
    return positions


@pytest.fixture
def marks(positions: Positions) -> Marks:
    """Return marks that know nothing."""
    return Marks(positions)


def _row(position: int, *, lane: int = 1, band: int = 5) -> Claimed:
    return Claimed(1, b"", 1, lane, band, position, 0, 0, None, b"")


def _claim(marks: Marks, positions: Positions, *rows: Claimed, drained: bool) -> list[Probe]:
    tick, safe = marks.begin(), positions.safe()
    probes = marks.probes([1])
    marks.claimed(probes, rows, tick=tick, safe=safe, drained=drained)
    return probes


def test_positions_grow_and_the_safe_one_stays_below_what_is_in_flight(positions: Positions, time: Time) -> None:
    with positions.flight(10) as first:
        time.now += 10 * SECOND
        assert positions.safe() == first - 1
        with positions.flight(10) as second:
            assert second >= first + 10
    assert positions.safe() == NOW + 10 * SECOND - LAG_US


def test_front_lies_below_every_arrival_and_grows(positions: Positions) -> None:
    one = positions.front(5)
    other = positions.front(5)

    assert one + 5 <= other < 0


def test_step_of_the_clock_is_told(positions: Positions, time: Time) -> None:
    time.now += 5 * SECOND

    assert not positions.measure(NOW + 5 * SECOND + 1000)
    assert positions.measure(NOW + 60 * SECOND)


def test_unknown_lane_is_looked_through(marks: Marks) -> None:
    assert marks.probes([1]) == [Probe(1, band, LOWEST) for band in BANDS]


def test_drained_lane_is_not_probed_until_something_arrives(marks: Marks, positions: Positions) -> None:
    _claim(marks, positions, drained=True)

    assert marks.probes([1]) == []
    marks.arrived(1, 3)
    [probe] = marks.probes([1])
    assert (probe.band, probe.low) == (3, positions.safe())


def test_lane_that_has_jobs_by_the_counters_is_looked_through_four_times_a_second(
    marks: Marks, positions: Positions, time: Time
) -> None:
    _claim(marks, positions, drained=True)
    marks.counted([1])
    _claim(marks, positions, drained=True)
    time.now += SECOND // 4

    assert {probe.low for probe in marks.probes([1])} == {LOWEST}


def test_idle_lane_without_jobs_by_the_counters_is_looked_through_every_five_seconds(
    marks: Marks, positions: Positions, time: Time
) -> None:
    _claim(marks, positions, drained=True)
    marks.counted([2])

    time.now += SECOND
    assert marks.probes([1]) == []
    time.now += 4 * SECOND
    assert [probe.low for probe in marks.probes([1])] == [LOWEST] * len(BANDS)


def test_of_ten_thousand_lanes_that_seem_empty_each_claim_looks_through_some(marks: Marks, positions: Positions) -> None:
    lanes, seen = list(range(1, 10_001)), set[int]()
    marks.counted([9_999])

    for _ in range(60):
        marks.look_again()
        probes = marks.probes(lanes)
        assert len(probes) <= 257 * len(BANDS)
        seen |= {probe.lane for probe in probes}
        assert 9_999 in seen
        marks.claimed(probes, [], tick=marks.begin(), safe=positions.safe(), drained=True)

    assert seen == set(lanes)


def test_lane_of_which_a_scan_took_some_is_known_to_have_more(marks: Marks, positions: Positions) -> None:
    _claim(marks, positions, _row(NOW, band=9), drained=False)

    assert marks.knows(1)
    assert [probe.band for probe in marks.probes([1])] == [9]


def test_places_that_a_claim_did_not_come_to_are_looked_at_by_the_next_one(marks: Marks, positions: Positions) -> None:
    tick, safe = marks.begin(), positions.safe()
    probes = marks.probes([1, 2])
    marks.claimed(probes, [_row(NOW, lane=1, band=1)], tick=tick, safe=safe, drained=False)

    assert {probe.lane for probe in marks.probes([1, 2])} == {1, 2}
    assert marks.knows(2)


def test_busy_lane_is_looked_through_every_five_seconds(marks: Marks, positions: Positions, time: Time) -> None:
    _claim(marks, positions, drained=True)
    marks.arrived(1, 5)
    _claim(marks, positions, _row(NOW), drained=False)
    time.now += SECOND

    assert [probe.band for probe in marks.probes([1])] == [5]
    time.now += 4 * SECOND
    assert len(marks.probes([1])) == len(BANDS)


def test_arrival_during_a_claim_is_not_found_empty_by_it(marks: Marks, positions: Positions) -> None:
    tick, safe = marks.begin(), positions.safe()
    probes = marks.probes([1])
    marks.arrived(1, 5)

    marks.claimed(probes, [], tick=tick, safe=safe, drained=True)

    assert [probe.band for probe in marks.probes([1])] == [5]


def test_mark_follows_what_was_taken_but_not_past_the_lag(marks: Marks, positions: Positions, time: Time) -> None:
    _claim(marks, positions, drained=True)
    marks.arrived(1, 5)
    _claim(marks, positions, _row(NOW), drained=False)
    assert marks.probes([1])[0].low == NOW - LAG_US

    time.now += 3 * SECOND
    _claim(marks, positions, _row(NOW), drained=False)
    assert marks.probes([1])[0].low == NOW


def test_mark_stays_below_a_flush_in_flight(marks: Marks, positions: Positions, time: Time) -> None:
    _claim(marks, positions, drained=True)
    marks.arrived(1, 5)
    with positions.flight(1) as base:
        time.now += 4 * SECOND
        _claim(marks, positions, _row(NOW + 3 * SECOND), drained=False)

    assert marks.probes([1])[0].low == base - 1


def test_returned_job_is_looked_for_in_front(marks: Marks, positions: Positions) -> None:
    _claim(marks, positions, drained=True)
    marks.arrived(1, 5, front=True)

    [probe] = marks.probes([1])

    assert probe.low < positions.front(1) < 0
    assert probe.low > LOWEST
    _claim(marks, positions, _row(NOW), drained=False)
    assert marks.probes([1])[0].low > 0


def test_scan_that_ran_out_of_places_goes_on(marks: Marks, positions: Positions) -> None:
    _claim(marks, positions, _row(NOW, band=2), drained=False)

    assert [probe for probe in marks.probes([1]) if probe.band > 2] == [Probe(1, band, LOWEST) for band in BANDS if band > 2]
    assert 1 not in {probe.band for probe in marks.probes([1])}


def test_scan_that_finds_a_job_below_the_mark_puts_it_back(marks: Marks, positions: Positions, time: Time) -> None:
    _claim(marks, positions, drained=True)
    time.now += 6 * SECOND
    old = NOW - 60 * SECOND

    _claim(marks, positions, _row(old), drained=False)

    assert next(probe for probe in marks.probes([1]) if probe.band == 5).low == old


def test_forgotten_marks_are_found_again(marks: Marks, positions: Positions) -> None:
    _claim(marks, positions, drained=True)

    marks.forget()

    assert len(marks.probes([1])) == len(BANDS)

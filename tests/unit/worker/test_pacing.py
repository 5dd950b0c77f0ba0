"""How much is asked for, and how long is waited."""

from hypothesis import given, settings
from hypothesis import strategies as st
from protojobs_worker.options import MAX_WINDOW
from protojobs_worker.pacing import Dryness, Prefetch, Reconnect, settle_again_after


def upper(_low: float, high: float) -> float:
    return high


def lower(low: float, _high: float) -> float:
    return low


def test_fast_handlers_get_a_fiftieth_of_a_second_of_work_ahead() -> None:
    prefetch = Prefetch(10)

    assert prefetch.observe(ended=10_000, running=10, seconds=0.25, starved=False) == 800


def test_slots_that_stand_idle_over_a_backlog_get_up_to_a_quarter_second_of_work_ahead() -> None:
    prefetch = Prefetch(10)

    jobs = [prefetch.observe(ended=10_000, running=10, seconds=0.25, starved=True) for _ in range(5)]

    assert jobs == [1600, 3200, 6400, 10_000, 10_000]


def test_what_is_ahead_shrinks_again_while_no_slot_stands_idle() -> None:
    prefetch = Prefetch(10)
    for _ in range(5):
        prefetch.observe(ended=10_000, running=10, seconds=0.25, starved=True)

    for _ in range(30):
        prefetch.observe(ended=10_000, running=10, seconds=0.25, starved=False)

    assert prefetch.jobs == 800


def test_slow_handlers_get_nothing_ahead() -> None:
    prefetch = Prefetch(10)

    for _ in range(8):
        prefetch.observe(ended=0, running=10, seconds=0.25, starved=False)

    assert prefetch.jobs == 0
    assert prefetch.observe(ended=1, running=10, seconds=1.0, starved=False) == 0


def test_an_idle_worker_asks_for_a_little_ahead() -> None:
    prefetch = Prefetch(100)
    prefetch.observe(ended=100_000, running=50, seconds=0.25, starved=False)

    assert prefetch.observe(ended=0, running=0, seconds=0.25, starved=False) == 10


@settings(deadline=None)
@given(
    concurrency=st.integers(1, MAX_WINDOW),
    looks=st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, MAX_WINDOW), st.floats(0.01, 10), st.booleans())),
)
def test_the_window_stays_within_its_bounds(concurrency: int, looks: list[tuple[int, int, float, bool]]) -> None:
    prefetch = Prefetch(concurrency)

    for ended, running, seconds, starved in looks:
        prefetch.observe(ended=ended, running=running, seconds=seconds, starved=starved)

        assert 0 <= prefetch.jobs <= MAX_WINDOW - concurrency


def test_the_first_reconnect_comes_within_a_second_and_the_rest_within_ten() -> None:
    longest, shortest = Reconnect(upper), Reconnect(lower)

    waits = [longest.wait() for _ in range(20)]
    least = [shortest.wait() for _ in range(20)]

    assert (waits[0], least[0]) == (1.0, 0.0)
    assert max(waits) == waits[-1] == 10.0
    assert min(least[1:]) == 0.2


def test_a_welcome_begins_the_waits_anew() -> None:
    reconnect = Reconnect(upper)
    for _ in range(5):
        reconnect.wait()

    reconnect.welcomed()

    assert reconnect.wait() == 1.0


def test_outcomes_that_cannot_be_stored_wait_longer_and_longer_up_to_five_seconds() -> None:
    waits = [settle_again_after(tries, upper) for tries in range(20)]

    assert waits == sorted(waits)
    assert waits[-1] == 5.0


def test_slots_stand_idle_from_when_nothing_is_left_until_something_comes() -> None:
    dryness = Dryness()

    dryness.ran_dry(1.0)
    dryness.ran_dry(1.5)
    dryness.refilled(2.0)
    dryness.refilled(3.0)
    dryness.ran_dry(4.0)

    assert dryness.take(4.5) == 1.5
    assert dryness.take(5.0) == 0.5  # it goes on
    dryness.refilled(5.0)
    assert dryness.take(6.0) == 0.0

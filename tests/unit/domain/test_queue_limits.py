"""The bucket of a rate limit."""

from collections.abc import Sequence
from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st
from protojobs_service.domain.queue_limits import Bucket, RateLimit, bucket_at, wait_us

rates = st.builds(
    RateLimit,
    per_second=st.floats(min_value=1e-6, max_value=1e6, allow_subnormal=False),
    burst=st.integers(min_value=1, max_value=1_000_000),
)
steps = st.lists(st.tuples(st.integers(0, 10_000_000), st.integers(0, 100)), min_size=1, max_size=40)


def _leases(rate: RateLimit, walk: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return (time, leases) of a walk that asks each time after a span for so many."""
    bucket, now, taken = None, 1_700_000_000_000_000, []
    for span, wanted in walk:
        now += span
        bucket = bucket_at(now, rate, bucket)
        n = min(wanted, bucket.leases)
        bucket = bucket.lease(n)
        taken.append((now, n))
    return taken


@given(rates, steps)
@example(RateLimit(per_second=3.0, burst=1), [(333_333, 9)] * 30)
def test_no_window_has_more_leases_than_burst_and_rate_allow(rate: RateLimit, walk: list[tuple[int, int]]) -> None:
    taken = _leases(rate, walk)

    for begin, (first, _) in enumerate(taken):
        for end in range(begin, len(taken)):
            window = Fraction(taken[end][0] - first, 1_000_000)
            assert sum(n for _, n in taken[begin : end + 1]) <= rate.burst + Fraction(rate.per_second) * window


@given(rates, st.integers(0, 1_000_000), st.integers(0, 10**12))
def test_wait_is_over_when_there_is_a_token_and_not_before(rate: RateLimit, tokens: int, now: int) -> None:
    bucket = Bucket(tokens, now)

    wait = wait_us(bucket, rate)

    if wait < 86_400_000_000:
        assert bucket_at(now + wait, rate, bucket).leases >= 1
    assert wait == 0 or bucket_at(now + wait - 1, rate, bucket).leases == 0


def test_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    rate = RateLimit(per_second=10.0, burst=5)
    bucket = bucket_at(1_000_000_000, rate, None).lease(3)

    assert bucket_at(0, rate, bucket).leases == 2


def test_rate_that_is_kept_up_is_given_whole() -> None:
    taken = _leases(RateLimit(per_second=7.0, burst=7), [(0, 100), *[(50_000, 100)] * 2000])

    assert sum(n for _, n in taken) == 7 + 700

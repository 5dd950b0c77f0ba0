"""When a failed job runs again."""

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protojobs_service.domain.bounds import (
    MAX_BACKOFF,
    MAX_MULTIPLIER,
    MAX_RETRIES,
    MAX_RUN_TIMEOUT,
    MIN_MULTIPLIER,
    MIN_RUN_TIMEOUT,
)
from protojobs_service.domain.queue import QueueSettings
from protojobs_service.domain.retry import (
    CRASH_BACKOFF,
    DEFAULT_POLICY,
    FREE_RETURNS,
    MAX_CRASHES,
    MAX_RETURN_BACKOFF,
    MIN_BACKOFF,
    Jitter,
    Policy,
    PolicyChanges,
    backoff,
    crash_backoff,
    return_backoff,
)

ZERO = timedelta()
BACKOFFS = st.timedeltas(ZERO, MAX_BACKOFF)
MULTIPLIERS = st.floats(MIN_MULTIPLIER, MAX_MULTIPLIER)
RUN_TIMEOUTS = st.timedeltas(MIN_RUN_TIMEOUT, MAX_RUN_TIMEOUT)
RETRIES = st.integers(0, MAX_RETRIES)

POLICIES = st.builds(
    Policy,
    max_retries=RETRIES,
    initial_backoff=BACKOFFS,
    multiplier=MULTIPLIERS,
    max_backoff=BACKOFFS,
    jitter=st.sampled_from(Jitter),
    max_retry_duration=st.none() | BACKOFFS,
    run_timeout=RUN_TIMEOUTS,
)
CHANGES = st.builds(
    PolicyChanges,
    max_retries=st.none() | RETRIES,
    initial_backoff=st.none() | BACKOFFS,
    multiplier=st.none() | MULTIPLIERS,
    max_backoff=st.none() | BACKOFFS,
    jitter=st.none() | st.sampled_from(Jitter),
    max_retry_duration=st.none() | BACKOFFS,
    run_timeout=st.none() | RUN_TIMEOUTS,
)
FAILURES = st.integers(1, MAX_RETRIES + 1)
SEEDS = st.integers(0, 2**32)


def _exact(policy: Policy) -> Policy:
    return PolicyChanges(jitter=Jitter.NONE).over(policy)


def _full(policy: Policy) -> Policy:
    return PolicyChanges(jitter=Jitter.FULL).over(policy)


@given(POLICIES, FAILURES, SEEDS)
def test_backoff_is_within_its_bounds(policy: Policy, failures: int, seed: int) -> None:
    wait = backoff(policy, failures, Random(seed))

    assert ZERO <= wait <= policy.max_backoff


@given(POLICIES, FAILURES)
def test_exact_backoff_never_shrinks_from_one_failure_to_the_next(policy: Policy, failures: int) -> None:
    waits = [backoff(_exact(policy), failures + more, Random(0)) for more in range(3)]

    assert waits == sorted(waits)


@given(POLICIES)
def test_first_backoff_is_the_initial_one(policy: Policy) -> None:
    assert backoff(_exact(policy), 1, Random(0)) == min(policy.initial_backoff, policy.max_backoff)


@given(POLICIES, FAILURES)
def test_exact_backoff_takes_no_chance(policy: Policy, failures: int) -> None:
    assert backoff(_exact(policy), failures, Random(1)) == backoff(_exact(policy), failures, Random(2))


@given(POLICIES, FAILURES, SEEDS)
def test_jitter_stays_between_its_floor_and_the_exact_backoff(policy: Policy, failures: int, seed: int) -> None:
    ceiling = backoff(_exact(policy), failures, Random(0))

    wait = backoff(_full(policy), failures, Random(seed))

    assert min(MIN_BACKOFF, ceiling) <= wait <= ceiling


def test_jitter_uses_the_whole_range() -> None:
    policy = Policy(initial_backoff=timedelta(seconds=101))
    rng = Random(7)

    waits = [backoff(policy, 1, rng) / timedelta(seconds=1) for _ in range(2000)]

    assert min(waits) < 2
    assert max(waits) > 100
    assert 48 < sum(waits) / len(waits) < 54


def test_default_backoff_doubles_from_a_minute_to_an_hour() -> None:
    waits = [backoff(_exact(DEFAULT_POLICY), failures, Random(0)) for failures in range(1, 9)]

    assert waits == [timedelta(minutes=minutes) for minutes in (1, 2, 4, 8, 16, 32, 60, 60)]


def test_multiplier_one_waits_the_same_each_time() -> None:
    policy = Policy(initial_backoff=timedelta(seconds=7), multiplier=1.0, jitter=Jitter.NONE)

    assert {backoff(policy, failures, Random(0)) for failures in (1, 2, 1001)} == {timedelta(seconds=7)}


def test_initial_backoff_of_zero_stays_zero() -> None:
    policy = Policy(initial_backoff=ZERO)

    assert {backoff(policy, failures, Random(0)) for failures in (1, 2, 1001)} == {ZERO}


def test_greatest_policy_does_not_overflow() -> None:
    smallest = timedelta(microseconds=1)
    policy = Policy(initial_backoff=smallest, multiplier=MAX_MULTIPLIER, max_backoff=MAX_BACKOFF, jitter=Jitter.NONE)

    assert backoff(policy, MAX_RETRIES + 1, Random(0)) == MAX_BACKOFF


@given(POLICIES)
def test_policy_reads_back_as_it_was_dumped(policy: Policy) -> None:
    assert Policy.load(policy.dump()) == policy


def test_no_text_is_the_default_policy() -> None:
    assert Policy.load(None) is DEFAULT_POLICY
    assert Policy.load(DEFAULT_POLICY.dump()) == DEFAULT_POLICY


@given(CHANGES, POLICIES)
def test_changes_replace_what_they_set_and_nothing_else(changes: PolicyChanges, base: Policy) -> None:
    policy = changes.over(base)

    for name in PolicyChanges.__slots__:
        change = getattr(changes, name)
        assert getattr(policy, name) == (getattr(base, name) if change is None else change)


@given(POLICIES)
def test_no_changes_leave_the_policy_itself(base: Policy) -> None:
    assert PolicyChanges().over(base) is base


@given(CHANGES, CHANGES, POLICIES)
def test_upper_changes_win(job: PolicyChanges, queue: PolicyChanges, base: Policy) -> None:
    policy = job.over(queue.over(base))

    for name in PolicyChanges.__slots__:
        first = next((value for changes in (job, queue) if (value := getattr(changes, name)) is not None), getattr(base, name))
        assert getattr(policy, name) == first


def test_changes_can_set_every_field_of_a_policy() -> None:
    assert set(PolicyChanges.__slots__) == set(Policy.__slots__)


@given(CHANGES)
def test_policy_of_a_queue_is_its_changes_over_the_default(changes: PolicyChanges) -> None:
    assert QueueSettings(name="q", retry=changes).policy == changes.over(DEFAULT_POLICY)


def test_first_crash_is_free_and_the_next_ones_double() -> None:
    assert crash_backoff(1) is None
    assert [crash_backoff(crashes) for crashes in (2, 3, 4)] == [CRASH_BACKOFF, 2 * CRASH_BACKOFF, 4 * CRASH_BACKOFF]
    assert MAX_CRASHES == 3


@pytest.mark.parametrize("returns", range(1, FREE_RETURNS + 1))
def test_first_returns_are_free(returns: int) -> None:
    assert return_backoff(returns) is None


def test_later_returns_double_up_to_a_minute() -> None:
    waits = [return_backoff(returns) for returns in range(FREE_RETURNS + 1, 16)]

    seconds = [1, 2, 4, 8, 16, 32] + [60] * 7
    assert waits == [timedelta(seconds=each) for each in seconds]
    assert waits[-1] == MAX_RETURN_BACKOFF

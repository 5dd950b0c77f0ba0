"""How an attempt ends, and what that does to its job."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protojobs_service.domain.lifecycle import STATE_OF_CODE, TRANSITIONS, Code, State
from protojobs_service.domain.outcome import (
    COMPLETE,
    Cancelled,
    Complete,
    Crash,
    Decision,
    Fail,
    JobError,
    Outcome,
    Release,
    ReleaseCause,
    Running,
    Snooze,
    decide,
)
from protojobs_service.domain.retry import FREE_LOSSES, MAX_CRASHES, Jitter, Policy

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ERROR = JobError(type="E", message="m", stack="s")
POLICY = Policy(max_retries=2, initial_backoff=10 * SECOND, multiplier=3.0, max_backoff=60 * SECOND, jitter=Jitter.NONE)
MOST_RETURNS = 15
"""The counter stops here: it has four bits in a store."""

OUTCOMES = st.one_of(
    st.just(COMPLETE),
    st.builds(Complete, result=st.none() | st.binary(max_size=3)),
    st.builds(
        Fail,
        error=st.just(ERROR),
        retryable=st.booleans(),
        retry_after=st.none() | st.timedeltas(timedelta(), timedelta(days=1)),
        checkpoint=st.none() | st.binary(max_size=3),
        reason=st.none() | st.just("TIMEOUT"),
    ),
    st.builds(Snooze, delay=st.timedeltas(timedelta(), timedelta(days=1))),
    st.builds(Release, cause=st.sampled_from(ReleaseCause)),
    st.just(Cancelled()),
    st.builds(Crash, started=st.booleans()),
)
JOBS = st.builds(
    Running,
    failures=st.integers(0, 5),
    crashes=st.integers(0, MAX_CRASHES - 1),
    returns=st.integers(0, MOST_RETURNS),
    cancel_requested=st.booleans(),
    policy=st.just(POLICY),
    retry_until=st.none() | st.just(NOW + 20 * SECOND),
    losses=st.integers(0, FREE_LOSSES),
)


def _running(**fields: Any) -> Running:
    fresh = Running(failures=0, crashes=0, returns=0, cancel_requested=False, policy=POLICY, retry_until=None)
    return fresh._replace(**fields)


def _decide(outcome: Outcome, **fields: Any) -> Decision:
    return decide(outcome, _running(**fields), NOW, Random(0))


@given(OUTCOMES, JOBS, st.integers(0, 2**32))
def test_every_decision_is_a_transition_of_a_running_job(outcome: Outcome, job: Running, seed: int) -> None:
    decision = decide(outcome, job, NOW, Random(seed))

    assert decision.state in {after for (before, _), after in TRANSITIONS.items() if before is State.RUNNING}
    assert decision.code.is_final == decision.state.is_final
    if decision.code.is_final:
        assert STATE_OF_CODE[decision.code] is decision.state


@given(OUTCOMES, JOBS)
def test_jobs_that_wait_have_a_delay_and_others_have_none(outcome: Outcome, job: Running) -> None:
    decision = decide(outcome, job, NOW, Random(0))

    assert (decision.delay is not None) is (decision.state in (State.SCHEDULED, State.RETRYING))
    assert decision.delay is None or decision.delay >= timedelta()


@given(OUTCOMES, JOBS)
def test_counters_grow_one_at_a_time_and_never_shrink(outcome: Outcome, job: Running) -> None:
    decision = decide(outcome, job, NOW, Random(0))

    grown = (decision.failures - job.failures, decision.crashes - job.crashes)
    assert grown in {(0, 0), (1, 0), (0, 1)}
    assert decision.returns in {0, job.returns, min(job.returns + 1, MOST_RETURNS)}


@given(OUTCOMES, JOBS)
def test_only_what_comes_back_at_once_goes_to_the_front(outcome: Outcome, job: Running) -> None:
    decision = decide(outcome, job, NOW, Random(0))

    assert decision.front is (decision.state is State.PENDING)
    assert decision.state is not State.PENDING or decision.code in (Code.RELEASED, Code.CRASHED)


@given(OUTCOMES, JOBS)
def test_cancel_that_was_asked_for_wins_over_all_but_a_completion(outcome: Outcome, job: Running) -> None:
    decision = decide(outcome, job._replace(cancel_requested=True), NOW, Random(0))

    assert decision.state is (State.COMPLETED if isinstance(outcome, Complete) else State.CANCELLED)
    assert (decision.failures, decision.crashes) == (job.failures, job.crashes)


def test_completion_keeps_its_result_and_the_counters() -> None:
    decision = _decide(Complete(result=b"r"), failures=2, crashes=1, returns=4)

    assert decision == Decision(Code.COMPLETED, State.COMPLETED, None, 2, 1, 0, result=b"r")


@pytest.mark.parametrize(
    ("failures", "code", "state", "delay"),
    [
        (0, Code.RETRIED, State.RETRYING, 10 * SECOND),
        (1, Code.RETRIED, State.RETRYING, 30 * SECOND),
        (2, Code.FAILED, State.FAILED, None),
        (7, Code.FAILED, State.FAILED, None),
    ],
)
def test_failure_is_retried_as_often_as_the_policy_says(failures: int, code: Code, state: State, delay: timedelta | None) -> None:
    decision = _decide(Fail(error=ERROR, checkpoint=b"c"), failures=failures, crashes=1, returns=2)

    assert decision == Decision(code, state, delay, failures + 1, 1, 0, error=ERROR, checkpoint=b"c")


def test_failure_that_must_not_be_retried_ends_the_job() -> None:
    decision = _decide(Fail(error=ERROR, retryable=False, retry_after=SECOND, reason="GAVE_UP"))

    assert decision == Decision(Code.FAILED, State.FAILED, None, 1, 0, 0, error=ERROR, reason="GAVE_UP")


@pytest.mark.parametrize("retry_after", [timedelta(), SECOND, timedelta(days=365)])
def test_handler_says_when_to_retry(retry_after: timedelta) -> None:
    decision = _decide(Fail(error=ERROR, retry_after=retry_after))

    assert (decision.state, decision.delay) == (State.RETRYING, retry_after)


def test_handler_adds_no_retries() -> None:
    decision = _decide(Fail(error=ERROR, retry_after=SECOND), failures=2)

    assert decision.state is State.FAILED


@pytest.mark.parametrize(
    ("left", "state"), [(9 * SECOND, State.FAILED), (10 * SECOND, State.RETRYING), (timedelta(days=1), State.RETRYING)]
)
def test_no_retry_starts_after_the_longest_retry_time(left: timedelta, state: State) -> None:
    assert _decide(Fail(error=ERROR), retry_until=NOW + left).state is state


def test_snooze_counts_nothing_and_ends_a_row_of_returns() -> None:
    decision = _decide(Snooze(delay=5 * SECOND), failures=2, crashes=1, returns=4)

    assert decision == Decision(Code.SNOOZED, State.SCHEDULED, 5 * SECOND, 2, 1, 0)


@pytest.mark.parametrize("cause", list(ReleaseCause))
@pytest.mark.parametrize(("returns", "delay"), [(0, None), (1, None), (2, 1), (3, 2), (7, 32), (8, 60), (15, 60)])
def test_release_goes_back_at_once_twice_and_then_waits(cause: ReleaseCause, returns: int, delay: int | None) -> None:
    decision = _decide(Release(cause=cause), failures=2, crashes=1, returns=returns)

    assert decision.code is Code.RELEASED
    assert (decision.failures, decision.crashes, decision.returns) == (2, 1, min(returns + 1, MOST_RETURNS))
    assert decision.state is (State.PENDING if delay is None else State.SCHEDULED)
    assert decision.delay == (None if delay is None else delay * SECOND)
    assert decision.reason == cause.value


@pytest.mark.parametrize(
    ("crashes", "code", "state", "delay"),
    [
        (0, Code.CRASHED, State.PENDING, None),
        (1, Code.CRASHED, State.RETRYING, 10 * SECOND),
        (2, Code.FAILED, State.FAILED, None),
    ],
)
def test_crash_of_a_started_job_counts(crashes: int, code: Code, state: State, delay: timedelta | None) -> None:
    decision = _decide(Crash(started=True), failures=2, crashes=crashes, returns=4)

    assert (decision.code, decision.state, decision.delay) == (code, state, delay)
    assert (decision.failures, decision.crashes, decision.returns) == (2, crashes + 1, 0)


def test_third_crash_says_why() -> None:
    decision = _decide(Crash(started=True), crashes=MAX_CRASHES - 1)

    assert decision.reason == "POISON"
    assert decision.error is not None
    assert decision.error.type == "POISON"


def test_crash_of_an_unstarted_job_is_a_return() -> None:
    decision = _decide(Crash(started=False), failures=2, crashes=2)

    assert decision == Decision(Code.RELEASED, State.PENDING, None, 2, 2, 1, reason="SESSION_DIED", front=True, losses=1)


@pytest.mark.parametrize(
    ("outcome", "losses"),
    [
        (Crash(started=False), 2),
        (Crash(started=True), 1),
        (Release(cause=ReleaseCause.NO_RECEIPT), 1),
        (Release(cause=ReleaseCause.NOT_HELD), 1),
        (Release(cause=ReleaseCause.SHUTDOWN), 0),
        (Release(cause=ReleaseCause.OVERLOAD), 0),
        (Release(cause=ReleaseCause.UNKNOWN_KIND), 0),
        (Snooze(delay=SECOND), 0),
        (Fail(error=ERROR), 0),
        (Complete(), 0),
    ],
)
def test_losses_stay_until_a_worker_says_anything_of_the_job(outcome: Outcome, losses: int) -> None:
    assert _decide(outcome, losses=1).losses == losses


@given(OUTCOMES, JOBS)
def test_losses_stay_within_what_drivers_keep(outcome: Outcome, job: Running) -> None:
    decision = decide(outcome, job, NOW, Random(0))

    assert 0 <= decision.losses <= FREE_LOSSES


def test_cancelled_handler_ends_the_job() -> None:
    assert _decide(Cancelled(), failures=1) == Decision(Code.CANCELLED, State.CANCELLED, None, 1, 0, 0, reason="CANCELLED")


def test_failure_after_a_cancel_keeps_its_error() -> None:
    decision = _decide(Fail(error=ERROR), cancel_requested=True)

    assert (decision.state, decision.error, decision.failures) == (State.CANCELLED, ERROR, 0)

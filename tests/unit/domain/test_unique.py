"""Who gets a unique key."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protojobs_service.domain.job import JobId, NewJob
from protojobs_service.domain.lifecycle import FINAL_STATES, WAITING_STATES, State
from protojobs_service.domain.unique import Holder, OnConflict, Unique, UniqueScope, Verdict, decide, guards

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
STATES = [None, *State]


def job(number: int, on_conflict: OnConflict, delay: int = 0) -> NewJob:
    unique = Unique(key="key", scope=UniqueScope.UNTIL_DONE, on_conflict=on_conflict)
    job_id = JobId(bytes(15) + bytes([number]))
    return NewJob(job_id, "q", "k", 5, b"", delay=delay * SECOND or None, unique=unique)


@pytest.mark.parametrize("state", STATES)
def test_a_scope_ends_with_its_state_or_its_time(state: State | None) -> None:
    lives = state is not None and state not in FINAL_STATES

    assert guards(UniqueScope.UNTIL_DONE, state, unleased=False, in_time=False) is lives
    assert guards(UniqueScope.UNTIL_START, state, unleased=True, in_time=False) is (state in WAITING_STATES)
    assert not guards(UniqueScope.UNTIL_START, state, unleased=False, in_time=True)
    assert guards(UniqueScope.WINDOW, state, unleased=False, in_time=True)
    assert not guards(UniqueScope.WINDOW, state, unleased=True, in_time=False)


@given(
    holder=st.none() | st.builds(Holder, st.just(JobId(b"holder")), st.sampled_from(STATES)),
    asked=st.lists(st.tuples(st.sampled_from(OnConflict), st.integers(0, 3)), min_size=1, max_size=6),
)
def test_one_after_the_other_meets_whoever_has_the_key_by_then(holder: Holder | None, asked: list[tuple[OnConflict, int]]) -> None:
    jobs = [job(number, *each) for number, each in enumerate(asked)]

    decisions = decide(holder, jobs, NOW)

    has = holder
    for each, decision in zip(jobs, decisions, strict=True):
        assert decision.holder == has
        assert (decision.verdict is Verdict.TAKES) is (has is None)
        if decision.verdict in (Verdict.TAKES, Verdict.REPLACES):
            has = Holder(each.id, State.SCHEDULED if decision.due_at else State.PENDING, decision.due_at)
        if decision.verdict is Verdict.REPLACES and decision.holder is not None:
            assert each.unique is not None
            assert each.unique.replaces
            assert decision.holder.state in WAITING_STATES


@pytest.mark.parametrize(
    ("on_conflict", "due", "delay", "expected"),
    [
        (OnConflict.REPLACE, 9, 5, 5),
        (OnConflict.REPLACE, 9, 0, None),
        (OnConflict.DEBOUNCE, 9, 5, 9),
        (OnConflict.DEBOUNCE, 3, 5, 5),
        (OnConflict.DEBOUNCE, None, 5, 5),
    ],
)
def test_debounce_pushes_and_never_pulls(on_conflict: OnConflict, due: int | None, delay: int, expected: int | None) -> None:
    at = None if due is None else NOW + due * SECOND
    holder = Holder(JobId(b"holder"), State.PENDING if at is None else State.SCHEDULED, at)

    [decision] = decide(holder, [job(1, on_conflict, delay)], NOW)

    assert decision.verdict is Verdict.REPLACES
    assert decision.due_at == (None if expected is None else NOW + expected * SECOND)

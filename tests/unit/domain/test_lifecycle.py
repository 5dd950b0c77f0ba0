"""The table of transitions."""

from collections import deque

import pytest
from protojobs_service.domain.lifecycle import (
    FINAL_STATES,
    RETAKEN,
    STATE_OF_CODE,
    TRANSITIONS,
    WAITING_STATES,
    Code,
    Event,
    IllegalTransition,
    State,
    advance,
    mermaid,
)

DISPATCHED = (State.PENDING, State.SCHEDULED)


def _reachable(*origins: State) -> set[State]:
    """Return every state that a job gets to from these."""
    seen, queue = set(origins), deque(origins)
    while queue:
        here = queue.popleft()
        for (before, _), after in TRANSITIONS.items():
            if before is here and after not in seen:
                seen.add(after)
                queue.append(after)
    return seen


def test_every_state_is_reached_from_dispatch() -> None:
    assert _reachable(*DISPATCHED) == set(State)


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_a_way_on_to_every_end(state: State) -> None:
    assert _reachable(state) >= FINAL_STATES


def test_final_states_are_left_by_a_retry_alone() -> None:
    exits = {(before, event) for before, event in TRANSITIONS if before.is_final}

    assert {before for before, _ in exits} == FINAL_STATES
    assert {event.name.split("_")[0] for _, event in exits} == {"RETRY"}


def test_every_event_happens_somewhere() -> None:
    assert {event for _, event in TRANSITIONS} == set(Event)


def test_a_state_waits_runs_or_is_final() -> None:
    assert WAITING_STATES | {State.RUNNING} | FINAL_STATES == set(State)
    assert not WAITING_STATES & FINAL_STATES
    assert {state for state in State if state.is_final} == FINAL_STATES


def test_only_pending_jobs_are_leased() -> None:
    assert [before for before, event in TRANSITIONS if event is Event.LEASE] == [State.PENDING]


@pytest.mark.parametrize("state", [state for state in State if not state.is_final])
def test_everything_that_is_not_final_can_be_cancelled(state: State) -> None:
    assert advance(state, Event.CANCEL) is State.CANCELLED


def test_retrying_job_cannot_expire_because_its_handler_has_started() -> None:
    assert (State.RETRYING, Event.EXPIRE) not in TRANSITIONS


@pytest.mark.parametrize(("state", "event"), [(state, event) for state in State for event in Event])
def test_advance_follows_the_table_and_nothing_else(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert advance(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalTransition, match=f"{state.name} does not allow {event.name}"):
            advance(state, event)


def test_picture_shows_every_transition() -> None:
    picture = mermaid().splitlines()

    assert picture[0] == "stateDiagram-v2"
    for (before, event), after in TRANSITIONS.items():
        assert f"    {before.name} --> {after.name}: {event.value}" in picture
    assert len(picture) == 3 + len(TRANSITIONS)


def test_final_codes_are_the_ends_of_jobs_and_deletion() -> None:
    final = {code for code in Code if code.is_final}

    assert final == {*map(Code, STATE_OF_CODE), Code.DELETED}
    assert set(STATE_OF_CODE.values()) == FINAL_STATES


@pytest.mark.parametrize("code", [Code(code) for code in STATE_OF_CODE])
def test_every_end_has_a_twin_that_is_not_final(code: Code) -> None:
    twin = Code(code + RETAKEN)

    assert twin.name == f"{code.name}_RETRIED"
    assert not twin.is_final


def test_codes_beyond_retaken_are_those_twins_alone() -> None:
    assert {code for code in Code if code > RETAKEN} == {Code(code + RETAKEN) for code in STATE_OF_CODE}

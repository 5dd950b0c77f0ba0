"""Labels of metrics are bounded, and stay what they were."""

from protojobs_service.domain.labels import OTHER, OUTCOMES, Labels
from protojobs_service.domain.lifecycle import State


def test_the_first_names_are_kept_and_all_later_ones_are_one() -> None:
    labels = Labels(2)

    said = [labels.of(name) for name in ("a", "b", "c", "a", "d", "b")]

    assert said == ["a", "b", OTHER, "a", OTHER, "b"]


def test_no_name_takes_no_place() -> None:
    labels = Labels(1)

    assert [labels.of(name) for name in ("", "a")] == [OTHER, "a"]


def test_every_state_is_called_something_else() -> None:
    assert OUTCOMES.keys() == set(State)
    assert len(set(OUTCOMES.values())) == len(State)

"""The table of what came last."""

from hypothesis import given
from hypothesis import strategies as st
from protojobs_service.domain.recent import Recent


@given(st.lists(st.tuples(st.integers(0, 9), st.integers())), st.integers(1, 6))
def test_what_was_set_last_is_there_and_no_more_than_the_bound(sets: list[tuple[int, int]], most: int) -> None:
    table = Recent[int, int](most)
    expected: dict[int, int] = {}

    for key, value in sets:
        table[key] = value
        expected.pop(key, None)
        expected[key] = value

    assert list(table.items()) == list(expected.items())[-most:]


@given(st.lists(st.lists(st.integers(0, 9))), st.integers(1, 6))
def test_keys_that_are_added_together_are_set_one_after_the_other(calls: list[list[int]], most: int) -> None:
    together, singly = Recent[int, int](most), Recent[int, int](most)

    for number, keys in enumerate(calls):
        together.add(keys, number)
        for key in keys:
            singly[key] = number

    assert list(together.items()) == list(singly.items())


def test_reading_keeps_nothing() -> None:
    table = Recent[str, int](2)
    table["a"], table["b"] = 1, 2

    assert (table["a"], table.get("a"), "a" in table) == (1, 1, True)
    table["c"] = 3

    assert list(table) == ["b", "c"]

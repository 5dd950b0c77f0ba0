"""Pieces of many things, bounded by their bytes."""

from hypothesis import given
from hypothesis import strategies as st
from protojobs_service.domain.lots import fitting, lots

_sizes = st.lists(st.integers(0, 100), max_size=40)


@given(_sizes, st.integers(1, 10), st.integers(0, 150))
def test_lots_hold_everything_in_order_within_both_bounds_but_for_a_single_thing(
    sizes: list[int], most: int, max_bytes: int
) -> None:
    items = list(enumerate(sizes))

    found = [list(lot) for lot in lots(items, sizes, most, max_bytes)]

    assert [item for lot in found for item in lot] == items
    assert all(len(lot) == 1 or (len(lot) <= most and sum(size for _, size in lot) <= max_bytes) for lot in found)


@given(_sizes, st.integers(0, 150))
def test_as_many_fit_as_have_no_more_bytes(sizes: list[int], max_bytes: int) -> None:
    count = fitting(sizes, max_bytes)

    assert sum(sizes[:count]) <= max_bytes
    assert count == len(sizes) or sum(sizes[: count + 1]) > max_bytes

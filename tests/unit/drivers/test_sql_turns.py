"""Fair queueing: nobody loses anything, each sender keeps its order, and none waits behind all that another one asks for."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protojobs_service.drivers.sql.turns import Turns


def drained(turns: Turns[str]) -> list[str]:
    """Take all, and return it in its order."""
    return [turns.take() for _ in range(len(turns))]


def test_one_sender_keeps_its_order() -> None:
    turns = Turns[str]()
    for item, cost in (("a", 500), ("b", 1), ("c", 90)):
        turns.add("one", item, cost)

    assert drained(turns) == ["a", "b", "c"]


def test_a_small_item_does_not_wait_behind_what_another_sender_has_asked_for_before() -> None:
    turns = Turns[str]()
    for number in range(1000):
        turns.add("large", f"large {number}", 500)
    turns.take()

    turns.add("small", "small", 1)

    assert turns.take() == "small"


def test_who_asks_for_much_is_given_as_much_as_everybody() -> None:
    turns = Turns[str]()
    for _ in range(100):
        turns.add("large", "large", 100)
    for _ in range(1000):
        turns.add("small", "small", 10)

    first = Counter(turns.take() for _ in range(110))

    assert first == {"large": 10, "small": 100}


def test_who_comes_late_is_not_given_what_others_had_before() -> None:
    turns = Turns[str]()
    for _ in range(100):
        turns.add("early", "early", 10)
    for _ in range(50):
        turns.take()
    for _ in range(100):
        turns.add("late", "late", 10)

    assert Counter(turns.take() for _ in range(20)) == {"early": 10, "late": 10}


def test_who_asks_again_and_again_for_much_waits_for_others_in_between() -> None:
    turns = Turns[str]()
    for _ in range(200):
        turns.add("steady", "steady", 10)
    turns.add("again", "again", 1000)
    taken: list[str] = []

    for _ in range(150):
        item = turns.take()
        taken.append(item)
        if item == "again":
            turns.add("again", "again", 1000)

    assert taken.count("again") == 1


def test_there_is_nothing_to_take_from_nothing() -> None:
    turns = Turns[str]()

    assert not turns
    with pytest.raises(IndexError):
        turns.take()
    with pytest.raises(IndexError):
        turns.first()


@pytest.mark.parametrize(("times", "order"), [(1, ["late", "large"]), (2, ["large", "late"])], ids=["once", "twice"])
def test_what_comes_after_a_large_item_was_passed_over_twice_comes_behind_it(times: int, order: list[str]) -> None:
    turns = Turns[str]()
    turns.add("small", "small", 1)
    turns.add("large", "large", 1000)
    turns.take()

    for _ in range(times):
        turns.pass_over()
    turns.add("small", "late", 1)

    assert drained(turns) == order


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2000), st.booleans())))
def test_all_is_taken_once_in_the_order_of_its_sender(steps: list[tuple[int, int, bool]]) -> None:
    turns = Turns[tuple[int, int]]()
    taken: list[tuple[int, int]] = []

    for number, (sender, cost, takes) in enumerate(steps):
        turns.add(sender, (sender, number), cost)
        if takes:
            first = turns.first()
            taken.append(turns.take())
            assert taken[-1] == first
    left = sorted(turns)
    assert len(turns) == len(left)
    assert turns.cost == sum(steps[number][1] for _, number in left)
    taken += [turns.take() for _ in range(len(turns))]

    by_sender = defaultdict[int, list[int]](list)
    for sender, number in taken:
        by_sender[sender].append(number)
    assert sorted(number for _, number in taken) == list(range(len(steps)))
    assert all(numbers == sorted(numbers) for numbers in by_sender.values())
    assert set(left) <= set(taken)
    assert not turns
    assert turns.cost == 0


@given(st.lists(st.integers(1, 1000), min_size=1), st.integers(1, 1000))
def test_an_item_waits_for_no_more_of_each_other_sender_than_it_costs_itself_and_one_item(costs: list[int], mine: int) -> None:
    turns = Turns[tuple[str, int]]()
    for cost in costs:
        turns.add("other", ("other", cost), cost)

    turns.add("mine", ("mine", mine), mine)
    before = 0
    while (item := turns.take())[0] == "other":
        before += item[1]

    assert before <= mine

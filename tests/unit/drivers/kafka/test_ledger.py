"""The ledger: numbers that only grow, whoever writes them at the same time."""

import asyncio
from typing import Any, cast

import pytest
import pytest_asyncio
from protojobs_service.drivers.kafka.ledger import Ledger
from protojobs_service.port import SideStore

from tests.kafka.sides import Side
from tests.unit.drivers.kafka.kit import place

pytestmark = pytest.mark.asyncio

Q, R = place("q"), place("r")


@pytest_asyncio.fixture
async def side() -> Side:
    """Lend a store in memory, whose notes are read and written apart."""
    side = Side()
    await side.prepare()
    return side


@pytest.fixture
def ledgers(side: Side) -> list[Ledger]:
    """Return the ledgers of two servers on the same store."""
    return [Ledger(cast("SideStore", _Slow(side))) for _ in range(2)]


class _Slow:
    """Lets others go on between any two calls."""

    def __init__(self, side: Side) -> None:
        self._notes = side.as_driver().side_store

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._notes, name)

        async def turn(*arguments: Any) -> Any:
            await asyncio.sleep(0)
            return await call(*arguments)

        return turn


async def test_what_was_never_written_is_zero(ledgers: list[Ledger]) -> None:
    assert await ledgers[0].read("moved", [Q, R]) == {Q: 0, R: 0}
    assert await ledgers[0].read("moved", []) == {}


async def test_numbers_of_two_servers_only_rise(ledgers: list[Ledger]) -> None:
    one, other = ledgers
    steps = [asyncio.gather(one.raise_to("moved", {Q: n}), other.raise_to("moved", {Q: 20 - n})) for n in range(20)]

    await asyncio.gather(*steps)
    await other.raise_to("moved", {Q: 3})

    assert await one.read("moved", [Q, R]) == {Q: 20, R: 0}


async def test_two_servers_that_add_at_the_same_time_both_count(ledgers: list[Ledger]) -> None:
    await asyncio.gather(*(ledger.add("cleared", Q, 5) for ledger in ledgers for _ in range(3)))

    assert await ledgers[0].read("cleared", [Q]) == {Q: 30}


async def test_kinds_and_partitions_are_apart(ledgers: list[Ledger]) -> None:
    await ledgers[0].raise_to("moved", {Q: 1, R: 2})
    await ledgers[0].raise_to("barrier", {Q: 3})

    assert await ledgers[1].read("moved", [Q, R]) == {Q: 1, R: 2}
    assert await ledgers[1].read("barrier", [Q, R]) == {Q: 3, R: 0}


async def test_of_two_servers_that_take_possession_one_names_the_owner(ledgers: list[Ledger]) -> None:
    named = await asyncio.gather(*(ledger.own("cluster", "pj") for ledger in ledgers))

    assert named[0] == named[1] == await ledgers[0].owner()
    assert named[0].split()[1:] == ["cluster", "pj"]


async def test_who_was_disowned_can_be_owned_again(ledgers: list[Ledger]) -> None:
    first = await ledgers[0].own("cluster", "pj")

    await ledgers[0].disown()

    assert await ledgers[1].owner() is None
    assert await ledgers[1].own("cluster", "pj") != first


async def test_two_servers_that_meet_a_topic_that_was_made_again_drop_what_was_noted_of_the_old_one(
    ledgers: list[Ledger],
) -> None:
    one, other = ledgers
    await one.begin({Q.topic: "old", R.topic: "same"})
    await one.raise_to("moved", {Q: 5, R: 6})

    await asyncio.gather(one.begin({Q.topic: "new", R.topic: "same"}), other.begin({Q.topic: "new"}))

    assert await one.read("moved", [Q, R]) == {Q: 0, R: 6}
    await one.raise_to("moved", {Q: 2})
    await other.begin({Q.topic: "new"})
    assert await one.read("moved", [Q]) == {Q: 2}


async def test_a_number_of_a_partition_that_was_cut_is_lowered_and_rises_again(ledgers: list[Ledger]) -> None:
    await ledgers[0].raise_to("moved", {Q: 9, R: 3})

    await ledgers[1].lower("moved", {Q: 4, R: 5})
    assert await ledgers[0].read("moved", [Q, R]) == {Q: 4, R: 3}

    await ledgers[0].raise_to("moved", {Q: 6})
    assert await ledgers[0].read("moved", [Q]) == {Q: 6}


async def test_who_has_given_a_partition_up_raises_nothing_of_it(ledgers: list[Ledger]) -> None:
    await ledgers[0].raise_to("moved", {Q: 9})
    seated = {Q, R}

    async def cut() -> None:
        seated.remove(Q)
        await ledgers[1].lower("moved", {Q: 0})

    await asyncio.gather(ledgers[0].raise_to("moved", {Q: 10, R: 1}, where=seated.__contains__), cut())

    assert await ledgers[0].read("moved", [Q, R]) == {Q: 0, R: 1}

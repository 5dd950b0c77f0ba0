"""The side store: what a driver that is built over another one keeps in that one's database."""

import asyncio

import pytest
from protojobs_service.domain.errors import InvalidField
from protojobs_service.port import Driver

from tests.contract.backends import Bench

pytestmark = pytest.mark.asyncio

LONGEST = ("A-z._:/0" * 32)[:255]
LARGEST = bytes(range(256)) * 256


async def store(driver: Driver, *names: str) -> None:
    """Store a note of each name, whose value is the name."""
    for name in names:
        assert await driver.side_store.write(name, name.encode(), None)


async def test_notes_are_read_as_they_were_written(driver: Driver) -> None:
    notes = {LONGEST: LARGEST, "a": b"", "b": b"\0\xff\\'\"%s"}

    for name, value in notes.items():
        assert await driver.side_store.write(name, value, None)

    assert await driver.side_store.read(notes) == notes
    assert await driver.side_store.read(["b", "c", "b"]) == {"b": notes["b"]}
    assert await driver.side_store.read([]) == {}


async def test_a_note_is_made_only_where_there_is_none(driver: Driver) -> None:
    made = await driver.side_store.write("a", b"1", None)
    again = await driver.side_store.write("a", b"2", None)

    assert (made, again) == (True, False)
    assert await driver.side_store.read(["a"]) == {"a": b"1"}


async def test_a_note_is_changed_only_by_who_knows_what_it_says(driver: Driver) -> None:
    await driver.side_store.write("a", b"1", None)

    wrong = await driver.side_store.write("a", b"2", b"0")
    unsaid = await driver.side_store.read(["a"])
    right = await driver.side_store.write("a", b"2", b"1")

    assert (wrong, right) == (False, True)
    assert unsaid == {"a": b"1"}
    assert await driver.side_store.read(["a"]) == {"a": b"2"}


async def test_a_note_that_is_not_there_is_not_changed(driver: Driver) -> None:
    assert await driver.side_store.write("a", b"2", b"1") is False

    assert await driver.side_store.read(["a"]) == {}


async def test_an_empty_note_is_not_the_same_as_none(driver: Driver) -> None:
    assert await driver.side_store.write("a", b"1", b"") is False
    assert await driver.side_store.write("a", b"", None)

    assert await driver.side_store.write("a", b"1", None) is False
    assert await driver.side_store.write("a", b"1", b"")


@pytest.mark.parametrize("expected", [None, b"0", b"1"])
async def test_a_write_may_be_repeated_whatever_it_expects(driver: Driver, expected: bytes | None) -> None:
    await driver.side_store.write("a", b"1", None)

    again = await driver.side_store.write("a", b"1", expected)

    assert again is True
    assert await driver.side_store.read(["a"]) == {"a": b"1"}


async def test_of_several_servers_that_expect_the_same_one_writes(bench: Bench) -> None:
    async with bench.twin() as twin:
        drivers = (bench.driver, twin) * 4
        made = await asyncio.gather(*(each.side_store.write("a", b"%d" % n, None) for n, each in enumerate(drivers)))
        first = (await twin.side_store.read(["a"]))["a"]
        changed = await asyncio.gather(*(each.side_store.write("a", b"c%d" % n, first) for n, each in enumerate(drivers)))
        second = (await bench.driver.side_store.read(["a"]))["a"]

    assert (made.count(True), first) == (1, b"%d" % made.index(True))
    assert (changed.count(True), second) == (1, b"c%d" % changed.index(True))


async def test_names_are_compared_byte_by_byte(driver: Driver) -> None:
    await store(driver, "a", "A", "a.", "a_", "a-")

    found = await driver.side_store.read(["a", "A", "a.", "a_", "a-", "a:"])

    assert found == {name: name.encode() for name in ("a", "A", "a.", "a_", "a-")}


async def test_all_notes_below_a_prefix_come_in_the_order_of_their_bytes(driver: Driver) -> None:
    names = ["a", "a-b", "a.b", "a/b", "a/0", "a/B", "a/_", "a/zz", "a:b", "A/b", "aa", "b/b", "a_b"]
    await store(driver, *names)

    within = await driver.side_store.read_all("a/")
    everything = await driver.side_store.read_all("")

    assert list(within.items()) == [(name, name.encode()) for name in ("a/0", "a/B", "a/_", "a/b", "a/zz")]
    assert list(everything) == sorted(names)
    assert await driver.side_store.read_all("c") == {}


async def test_what_is_forgotten_is_gone_and_may_be_made_again(driver: Driver) -> None:
    await store(driver, "a", "b", "c")

    await driver.side_store.forget(["a", "c", "d"])
    await driver.side_store.forget(["a"])
    await driver.side_store.forget([])

    assert await driver.side_store.read_all("") == {"b": b"b"}
    assert await driver.side_store.write("a", b"2", b"a") is False
    assert await driver.side_store.write("a", b"2", None)


async def test_more_names_than_one_statement_takes_are_read_and_forgotten(driver: Driver) -> None:
    await store(driver, "n0", "n599")
    names = [f"n{n}" for n in range(1200)]

    found = await driver.side_store.read(names)
    await driver.side_store.forget(names)

    assert found == {"n0": b"n0", "n599": b"n599"}
    assert await driver.side_store.read_all("") == {}


@pytest.mark.parametrize("name", ["", LONGEST + "a", "a b", "a\n", "%", "ä", "a\0"])
async def test_names_out_of_bounds_are_refused(driver: Driver, name: str) -> None:
    with pytest.raises(InvalidField) as written:
        await driver.side_store.write(name, b"", None)
    with pytest.raises(InvalidField) as read:
        await driver.side_store.read(["a", name])
    with pytest.raises(InvalidField) as forgotten:
        await driver.side_store.forget([name, "a"])

    assert [refused.value.field for refused in (written, read, forgotten)] == ["name", "names", "names"]


@pytest.mark.parametrize("prefix", [LONGEST + "a", "a%", "é"])
async def test_prefixes_out_of_bounds_are_refused(driver: Driver, prefix: str) -> None:
    with pytest.raises(InvalidField) as refused:
        await driver.side_store.read_all(prefix)

    assert refused.value.field == "prefix"


async def test_values_out_of_bounds_are_refused(driver: Driver) -> None:
    with pytest.raises(InvalidField) as refused:
        await driver.side_store.write("a", LARGEST + b"\0", None)

    assert refused.value.field == "value"
    assert await driver.side_store.read(["a"]) == {}

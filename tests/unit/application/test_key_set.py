"""The keys of an identity provider: when they are read, and what they are worth while they cannot be."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import IncompleteRead
from typing import Any

import pytest
from protojobs_service.application.key_set import KeySet
from protojobs_service.domain.errors import IssuerUnavailable

from tests.identity import Key, key_set
from tests.unit.application.stand import FakeClock

pytestmark = pytest.mark.asyncio

FIRST, SECOND = Key("first"), Key("second")


class Provider:
    """Answers with `keys`, or fails with `error`; counts how often it is asked."""

    def __init__(self, *keys: Key) -> None:
        self.answer: Any = key_set(*keys)
        self.error: Exception | None = None
        self.asked = 0

    def __call__(self) -> Any:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.answer


def _keys(provider: Provider, clock: FakeClock, *algorithms: str) -> KeySet:
    return KeySet("issuer", provider, algorithms or ("ES256",), clock)


@asynccontextmanager
async def _running(keys: KeySet) -> AsyncIterator[None]:
    """Let the timer of a key set run."""
    running = asyncio.ensure_future(keys.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])


async def _id(keys: KeySet, key_id: str | None) -> str | None:
    found = await keys.find(key_id)
    return None if found is None else found.key_id


async def test_keys_are_found_by_their_id_and_without_one_where_there_is_only_one() -> None:
    clock = FakeClock()
    one, two = _keys(Provider(FIRST), clock), _keys(Provider(FIRST, SECOND), clock)
    assert await one.refresh()
    assert await two.refresh()

    assert [await _id(one, "first"), await _id(one, None), await _id(one, "second")] == ["first", "first", None]
    assert [await _id(two, "first"), await _id(two, "second"), await _id(two, None)] == ["first", "second", None]


async def test_the_first_caller_waits_for_the_first_read() -> None:
    provider = Provider(FIRST)
    keys = _keys(provider, FakeClock())

    async with _running(keys):
        assert [await _id(keys, "first"), await _id(keys, "first")] == ["first", "first"]

    assert provider.asked == 1


async def test_an_unknown_key_is_looked_for_once_in_ten_seconds_whatever_comes() -> None:
    clock, provider = FakeClock(), Provider(FIRST)
    keys = _keys(provider, clock)
    async with _running(keys):
        assert await _id(keys, "first") == "first"
        provider.answer = key_set(SECOND)

        assert [await _id(keys, f"made up {number}") for number in range(100)] == [None] * 100
        assert provider.asked == 1
        clock.now += 10
        assert await _id(keys, "second") == "second"
        assert [await _id(keys, f"made up {number}") for number in range(100)] == [None] * 100
        assert provider.asked == 2
        assert await _id(keys, "first") is None


async def test_many_callers_with_a_new_key_wait_for_one_read() -> None:
    clock, provider = FakeClock(), Provider(FIRST)
    keys = _keys(provider, clock)
    async with _running(keys):
        await keys.find("first")
        provider.answer = key_set(FIRST, SECOND)
        clock.now += 10

        found = await asyncio.gather(*(_id(keys, "second") for _ in range(20)))

    assert found == ["second"] * 20
    assert provider.asked == 2


async def test_callers_that_come_during_a_read_cause_no_other() -> None:
    clock, provider, go_on = FakeClock(), Provider(FIRST), threading.Event()
    keys = KeySet("issuer", lambda: go_on.wait() and provider(), ("ES256",), clock)
    async with _running(keys):
        finding = [asyncio.ensure_future(_id(keys, "made up")) for _ in range(5)]
        await clock.settle()
        go_on.set()

        assert await asyncio.gather(*finding) == [None] * 5
        await clock.settle()
        assert await _id(keys, "first") == "first"

    assert provider.asked == 1


async def test_a_read_that_hangs_takes_one_thread_however_often_its_turn_comes() -> None:
    clock, provider, go_on, asked = FakeClock(), Provider(FIRST), threading.Event(), list[None]()

    def hang() -> Any:
        asked.append(None)
        go_on.wait()
        return provider()

    keys = KeySet("issuer", hang, ("ES256",), clock)

    async def turn() -> bool:
        turning = asyncio.ensure_future(keys.refresh())
        await clock.advance(10)
        return await turning

    assert [await turn(), await turn(), await turn()] == [False] * 3
    assert len(asked) == 1
    go_on.set()
    assert await keys.refresh()
    assert await _id(keys, "first") == "first"


@pytest.mark.parametrize(
    "error",
    [OSError("down"), TimeoutError(), ValueError("no JSON"), IncompleteRead(b"{"), RecursionError()],
    ids=["down", "slow", "no JSON", "broken off", "too deep"],
)
async def test_what_was_read_last_is_good_for_a_day_while_nothing_can_be_read(error: Exception) -> None:
    clock, provider = FakeClock(), Provider(FIRST)
    keys = _keys(provider, clock)
    await keys.refresh()
    provider.error = error
    version = keys.version

    clock.now += 24 * 3600
    assert not await keys.refresh()
    assert await _id(keys, "first") == "first"
    with pytest.raises(IssuerUnavailable):  # it may be a new key
        await keys.find("second")
    clock.now += 1
    assert not await keys.refresh()
    with pytest.raises(IssuerUnavailable):
        await keys.find("first")
    provider.error = None
    assert await keys.refresh()
    assert (await _id(keys, "first"), keys.version) == ("first", version)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"keys": []},
        {"keys": "x"},
        {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "first"}]},
        {"keys": 7},
        {"keys": [{"kty": "RSA", "n": 7, "e": 7}]},
        {"keys": [{**Key("odd").public, "kid": ["odd"]}]},
        "x",
        None,
        7,
    ],
    ids=[
        "list",
        "nothing",
        "no keys",
        "a text",
        "a shared secret",
        "keys are 7",
        "a key is 7",
        "an id is a list",
        "text",
        "null",
        "number",
    ],
)
async def test_an_answer_without_usable_keys_is_none(answer: Any) -> None:
    provider = Provider(FIRST)
    keys = _keys(provider, FakeClock())
    await keys.refresh()
    provider.answer = answer

    assert not await keys.refresh()
    assert await _id(keys, "first") == "first"


async def test_keys_of_other_algorithms_and_uses_are_left_out() -> None:
    sealing = {**Key("sealing").public, "use": "enc"}
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"}
    provider = Provider(FIRST, Key("rsa", "RS256"), Key("curve", "EdDSA"))
    provider.answer["keys"] += [sealing, secret, {"kty": "no such"}, 7]
    keys = _keys(provider, FakeClock(), "ES256", "EdDSA")
    await keys.refresh()

    found = [await _id(keys, key_id) for key_id in ("first", "curve", "rsa", "sealing", "secret")]

    assert found == ["first", "curve", None, None, None]


async def test_the_version_grows_with_the_keys_and_with_nothing_else() -> None:
    provider = Provider(FIRST)
    keys = _keys(provider, FakeClock())
    versions: list[int] = []
    for each in ((FIRST,), (FIRST,), (FIRST, SECOND), (SECOND,)):
        provider.answer = key_set(*each)
        await keys.refresh()
        versions.append(keys.version)

    assert versions == [1, 1, 2, 3]

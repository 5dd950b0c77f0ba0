"""Tokens: what is stored of them, and how they end."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from protojobs_service.domain.access import Grant, Scope
from protojobs_service.domain.errors import QuotaExceeded, TokenExists, TokenNotFound
from protojobs_service.port import Driver, NewToken, StoredToken

from tests.contract.acts import DAY, MINUTE, SECOND
from tests.contract.backends import Bench, Clock

pytestmark = pytest.mark.asyncio

HOUR = timedelta(hours=1)
MANY = 100


def token(number: int = 1, **fields: Any) -> NewToken:
    """Return a token to store; a session where `parent` is given."""
    values: dict[str, Any] = {
        "id": f"{number:016x}",
        "name": f"name-{number}",
        "secret_hash": bytes([number]) * 32,
        "grants": (Grant(Scope.ADMIN),),
        "created_by": "token:00000000000000aa",
        "ttl": HOUR,
    }
    return NewToken(**values | fields)


async def add(driver: Driver, number: int = 1, *, most_live: int = MANY, **fields: Any) -> StoredToken:
    """Store a token."""
    return await driver.tokens.add(token(number, **fields), most_live=most_live)


async def known(driver: Driver, number: int = 1) -> StoredToken:
    """Return a stored token."""
    [found] = await driver.tokens.get([f"{number:016x}"])
    assert found is not None
    return found


async def page(driver: Driver, after: str = "", limit: int = MANY, *, sessions: bool = False) -> list[int]:
    """Return the numbers of a page of tokens."""
    return [int(each.id, 16) for each in await driver.tokens.page(after, limit, sessions=sessions)]


async def test_a_token_is_read_as_it_was_stored(driver: Driver) -> None:
    grants = (Grant(Scope.WORKER, "mail.*"), Grant(Scope.OBSERVER))
    before = await driver.ping()

    stored = await add(driver, 1, name="mailer", secret_hash=bytes(range(32)), grants=grants)

    assert await known(driver) == stored
    assert (stored.id, stored.name, stored.secret_hash, stored.grants) == (f"{1:016x}", "mailer", bytes(range(32)), grants)
    assert (stored.created_by, stored.parent) == ("token:00000000000000aa", None)
    assert (stored.revoked_at, stored.used_at) == (None, None)
    assert before <= stored.created_at <= await driver.ping()
    assert stored.expires_at == stored.created_at + HOUR


async def test_tokens_are_read_in_the_order_asked_for_and_unknown_ones_are_none(driver: Driver) -> None:
    await add(driver, 1)
    await add(driver, 2)

    found = await driver.tokens.get([f"{2:016x}", "f" * 16, f"{1:016x}", f"{2:016x}"])

    assert [each and each.name for each in found] == ["name-2", None, "name-1", "name-2"]
    assert list(await driver.tokens.get([])) == []


async def test_an_id_is_given_once_even_when_its_token_has_ended(driver: Driver) -> None:
    await add(driver, 1)
    await driver.tokens.revoke(f"{1:016x}")

    with pytest.raises(TokenExists):
        await add(driver, 1, name="other")

    assert (await known(driver)).name == "name-1"


async def test_so_many_tokens_of_a_name_live_as_are_allowed(driver: Driver, clock: Clock) -> None:
    for number in (1, 2):
        await add(driver, number, name="n", most_live=2)

    with pytest.raises(QuotaExceeded):
        await add(driver, 3, name="n", most_live=2)
    await add(driver, 4, name="N", most_live=2)

    await driver.tokens.revoke(f"{1:016x}")
    await add(driver, 5, name="n", most_live=2, ttl=2 * HOUR)
    await clock.advance(HOUR + SECOND)
    await add(driver, 6, name="n", most_live=2)
    with pytest.raises(QuotaExceeded):
        await add(driver, 7, name="n", most_live=2)


async def test_tokens_of_one_name_made_at_once_stay_within_what_is_allowed(bench: Bench) -> None:
    async with bench.twin() as twin:
        answers = await asyncio.gather(
            *(add((bench.driver, twin)[number % 2], number, name="n", most_live=2) for number in range(1, 9)),
            return_exceptions=True,
        )

    made = [each for each in answers if isinstance(each, StoredToken)]
    assert len(made) == 2
    assert {type(each) for each in answers} == {StoredToken, QuotaExceeded}


async def test_an_id_asked_for_twice_at_once_is_given_once(bench: Bench) -> None:
    async with bench.twin() as twin:
        answers = await asyncio.gather(add(bench.driver, 1, name="a"), add(twin, 1, name="b"), return_exceptions=True)

    assert {type(each) for each in answers} == {StoredToken, TokenExists}


async def test_tokens_are_listed_by_id_and_page_without_sessions(driver: Driver) -> None:
    for number in (3, 1, 0xA0, 2):
        await add(driver, number)
    await add(driver, 4, parent=f"{1:016x}")
    await driver.tokens.revoke(f"{2:016x}")

    assert await page(driver, "", 3) == [1, 2, 3]
    assert await page(driver, f"{3:016x}", 3) == [0xA0]
    assert await page(driver, sessions=True) == [1, 2, 3, 4, 0xA0]


async def test_a_revoked_token_has_ended_now_and_repeating_that_changes_nothing(driver: Driver, clock: Clock) -> None:
    await add(driver, 1)
    await add(driver, 2)
    await clock.advance(MINUTE)

    first = await driver.tokens.revoke(f"{1:016x}")
    await clock.advance(MINUTE)
    second = await driver.tokens.revoke(f"{1:016x}")

    assert first is not None
    assert first.revoked_at is not None
    assert first.revoked_at - first.created_at >= MINUTE
    assert first.ends_at == first.revoked_at
    assert second == first == await known(driver)
    assert (await known(driver, 2)).revoked_at is None


async def test_an_expired_token_is_not_revoked_any_more(driver: Driver, clock: Clock) -> None:
    await add(driver, 1, ttl=MINUTE)
    await clock.advance(2 * MINUTE)

    ended = await driver.tokens.revoke(f"{1:016x}")

    assert ended == await known(driver)
    assert ended is not None
    assert ended.revoked_at is None


async def test_nobody_revokes_a_token_that_does_not_exist(driver: Driver) -> None:
    assert await driver.tokens.revoke("f" * 16) is None


async def test_sessions_end_with_their_token(driver: Driver) -> None:
    await add(driver, 1)
    await add(driver, 2)
    await add(driver, 3, parent=f"{1:016x}")
    await add(driver, 4, parent=f"{1:016x}")
    await add(driver, 5, parent=f"{2:016x}")
    await driver.tokens.revoke(f"{3:016x}")
    closed = (await known(driver, 3)).revoked_at

    await driver.tokens.revoke(f"{1:016x}")

    ended = {number: (await known(driver, number)).revoked_at is not None for number in range(1, 6)}
    assert ended == {1: True, 2: False, 3: True, 4: True, 5: False}
    assert (await known(driver, 3)).revoked_at == closed


async def test_a_session_lives_no_longer_than_its_token(driver: Driver) -> None:
    parent = await add(driver, 1, ttl=HOUR)

    short = await add(driver, 2, parent=parent.id, ttl=MINUTE)
    long = await add(driver, 3, parent=parent.id, ttl=DAY)

    assert short.expires_at == short.created_at + MINUTE
    assert long.expires_at == parent.expires_at
    assert long.parent == parent.id


async def test_no_session_is_opened_with_a_token_that_has_ended(driver: Driver, clock: Clock) -> None:
    await add(driver, 1)
    await add(driver, 2, ttl=MINUTE)
    await driver.tokens.revoke(f"{1:016x}")
    await clock.advance(2 * MINUTE)

    for parent in (1, 2, 9):
        with pytest.raises(TokenNotFound):
            await add(driver, 3, parent=f"{parent:016x}")


async def test_sessions_are_counted_by_their_token_and_not_by_their_name(driver: Driver) -> None:
    await add(driver, 1, name="n", most_live=2)
    await add(driver, 2, name="m", most_live=2)
    for number in (3, 4):
        await add(driver, number, name="n", parent=f"{1:016x}", most_live=2)

    with pytest.raises(QuotaExceeded):
        await add(driver, 5, name="n", parent=f"{1:016x}", most_live=2)

    await add(driver, 6, name="n", parent=f"{2:016x}", most_live=2)
    await add(driver, 7, name="n", most_live=2)


async def test_a_session_opened_while_its_token_is_revoked_ends_with_it_or_is_refused(bench: Bench) -> None:
    numbers = range(2, 10)
    async with bench.twin() as twin:
        await add(bench.driver, 1)
        opening = [add(twin, number, parent=f"{1:016x}") for number in numbers]
        revoking = bench.driver.tokens.revoke(f"{1:016x}")
        await asyncio.gather(*opening[:4], revoking, *opening[4:], return_exceptions=True)

    found = await bench.driver.tokens.get([f"{number:016x}" for number in numbers])
    assert [each for each in found if each is not None and each.revoked_at is None] == []


async def test_a_revoked_token_opens_no_session_by_a_clock_that_was_put_back(driver: Driver, clock: Clock) -> None:
    await add(driver, 1)
    await driver.tokens.revoke(f"{1:016x}")
    await clock.advance(-SECOND)

    with pytest.raises(TokenNotFound):
        await add(driver, 2, parent=f"{1:016x}")


async def test_use_is_noted_of_those_that_were_used(driver: Driver, clock: Clock) -> None:
    for number in (1, 2, 3):
        await add(driver, number)
    await clock.advance(MINUTE)
    before = await driver.ping()

    await driver.tokens.used([f"{2:016x}", f"{1:016x}", "f" * 16])
    await driver.tokens.used([])

    used = [(await known(driver, number)).used_at for number in (1, 2, 3)]
    assert used[2] is None
    after = await driver.ping()
    assert all(at is not None and before <= at <= after for at in used[:2])


async def test_tokens_that_ended_long_ago_are_forgotten_oldest_first_and_in_steps(driver: Driver, clock: Clock) -> None:
    await add(driver, 1, ttl=3 * MINUTE)
    await add(driver, 2, ttl=MINUTE)
    await add(driver, 3, ttl=100 * DAY)
    await add(driver, 4, ttl=100 * DAY)
    await add(driver, 5, ttl=2 * MINUTE)
    await driver.tokens.revoke(f"{3:016x}")
    await clock.advance(2 * DAY)
    await add(driver, 6, ttl=MINUTE)
    await clock.advance(2 * MINUTE)

    assert await driver.tokens.forget(DAY, 2) == 2
    assert await page(driver) == [1, 4, 5, 6]
    assert await driver.tokens.forget(DAY, 10) == 2
    assert await driver.tokens.forget(DAY, 10) == 0
    assert await page(driver) == [4, 6]

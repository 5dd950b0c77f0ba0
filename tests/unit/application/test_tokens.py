"""Tokens: making and revoking them, who they prove and until when, and how little of that asks the store."""

import asyncio
import re
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from protojobs_service.application import MadeToken
from protojobs_service.domain.access import ANONYMOUS, Grant, Principal, Scope, TokenId
from protojobs_service.domain.errors import (
    InvalidField,
    Overloaded,
    PermissionDenied,
    QuotaExceeded,
    StoreUnavailable,
    TokenExists,
    TokenNotFound,
    Unauthenticated,
)
from protojobs_service.port import StoredToken, Tokens
from protojobs_service.port.deadline import deadline_in

from tests.unit.application.stand import Outage, Patience, Stand

pytestmark = pytest.mark.asyncio

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ADMIN = (Grant(Scope.ADMIN),)


class Reads:
    """What a store was asked for: tokens read, batch by batch. paused: answers wait until it is set."""

    def __init__(self, port: Tokens) -> None:
        self.batches: list[list[TokenId]] = []
        self.paused: asyncio.Event | None = None
        self._inner = port.get
        port.get = self.get  # type: ignore[method-assign] # the port as the test wants it

    async def get(self, ids: Sequence[TokenId]) -> Sequence[StoredToken | None]:
        """Read tokens, and note that."""
        self.batches.append(list(ids))
        if self.paused is not None:
            await self.paused.wait()
        return await self._inner(ids)


async def make(
    stand: Stand, name: str = "mailer", grants: Sequence[Grant] = ADMIN, ttl: timedelta = HOUR, **more: Any
) -> MadeToken:
    """Make a token."""
    return await stand.application.tokens.create(name, grants, ttl, created_by="anonymous", **more)


async def elsewhere(stand: Stand, made: MadeToken) -> None:
    """Revoke a token as another server does: this one is not told."""
    await stand.driver.tokens.revoke(made.token.id)


async def refused(stand: Stand, text: str) -> bool:
    """Tell whether a token proves nobody."""
    try:
        await stand.application.tokens.verify(text)
    except Unauthenticated:
        return True
    return False


async def test_the_text_of_a_token_is_told_once_and_only_its_hash_is_stored(stand: Stand) -> None:
    made = await make(stand)

    parts = re.fullmatch(r"pj_([0-9a-f]{16})_([0-9a-f]{64})", made.text)
    assert parts is not None
    assert parts[1] == made.token.id
    [stored] = await stand.driver.tokens.get([made.token.id])
    assert stored == made.token
    assert made.token.secret_hash == sha256(parts[2].encode()).digest()
    assert made.text not in repr(stored)


async def test_a_token_proves_who_it_was_made_for(stand: Stand) -> None:
    grants = (Grant(Scope.WORKER, "mail.*"), Grant(Scope.OBSERVER))
    made = await make(stand, grants=grants)

    principal = await stand.application.tokens.verify(made.text)

    assert principal == Principal(
        id=f"token:{made.token.id}",
        name="mailer",
        grants=grants,
        token_id=made.token.id,
        expires_at=stand.clock.store_time() + HOUR,
    )


async def test_nothing_but_the_very_text_proves_anybody(stand: Stand) -> None:
    made, other = await make(stand), await make(stand)
    wrong = [
        "",
        "pj_",
        made.text[:-1],
        made.text + "0",
        made.text + "\n",
        made.text.upper(),
        made.text.removeprefix("pj_"),
        f"pj_{made.token.id}_{other.text[-64:]}",
        f"pj_{'0' * 16}_{made.text[-64:]}",
        f"pj_{made.token.id}_{'0' * 64}",
    ]

    assert [await refused(stand, text) for text in wrong] == [True] * len(wrong)
    assert not await refused(stand, made.text)


async def test_malformed_tokens_cost_the_store_nothing(stand: Stand) -> None:
    reads = Reads(stand.driver.tokens)

    assert await refused(stand, "pj_1_2")

    assert reads.batches == []


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "a b"}),
        ("name", {"name": "a" * 129}),
        ("grants", {"grants": ()}),
        ("grants", {"grants": ADMIN * 33}),
        ("grants[1].queues", {"grants": (Grant(Scope.WORKER), Grant(Scope.WORKER, "mail[1]"))}),
        ("grants[0].queues", {"grants": (Grant(Scope.WORKER, ""),)}),
        ("grants[0].queues", {"grants": (Grant(Scope.WORKER, "q" * 129),)}),
        ("ttl", {"ttl": timedelta(seconds=59)}),
        ("ttl", {"ttl": timedelta(days=366, seconds=1)}),
        ("token_id", {"token_id": "0" * 15}),
        ("token_id", {"token_id": "A" * 16}),
    ],
)
async def test_what_is_out_of_bounds_is_refused_by_name(stand: Stand, field: str, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidField) as refusal:
        await make(stand, **values)

    assert refusal.value.field == field


@pytest.mark.parametrize(
    "values",
    [{"name": "a" * 128, "ttl": MINUTE}, {"grants": ADMIN * 32, "ttl": timedelta(days=366)}, {"token_id": "0123456789abcdef"}],
)
async def test_what_is_just_within_bounds_is_taken(stand: Stand, values: dict[str, Any]) -> None:
    made = await make(stand, **values)

    assert not await refused(stand, made.text)
    assert made.token.id == values.get("token_id", made.token.id)


async def test_two_tokens_of_a_name_live_so_that_one_can_replace_the_other(stand: Stand) -> None:
    first, second = await make(stand), await make(stand)

    with pytest.raises(QuotaExceeded):
        await make(stand)
    await stand.application.tokens.revoke(first.token.id)
    third = await make(stand)

    assert [await refused(stand, each.text) for each in (first, second, third)] == [True, False, False]


async def test_a_call_whose_answer_was_lost_is_refused_when_it_is_repeated(stand: Stand) -> None:
    await make(stand, token_id="00000000000000aa")

    with pytest.raises(TokenExists):
        await make(stand, token_id="00000000000000aa")


async def test_a_token_ends_by_the_stores_clock(stand: Stand) -> None:
    made = await make(stand, ttl=HOUR)
    principal = await stand.application.tokens.verify(made.text)

    stand.clock.now += HOUR.total_seconds() - 1
    assert not await refused(stand, made.text)
    assert stand.application.tokens.still_valid(principal)

    stand.clock.now += 1
    assert await refused(stand, made.text)
    assert not stand.application.tokens.still_valid(principal)


async def test_a_revoked_token_is_refused_at_once_where_it_was_revoked(stand: Stand) -> None:
    made = await make(stand)
    principal = await stand.application.tokens.verify(made.text)

    await stand.application.tokens.revoke(made.token.id)

    assert await refused(stand, made.text)
    assert not stand.application.tokens.still_valid(principal)


async def test_a_token_revoked_at_another_server_is_refused_within_two_seconds(stand: Stand) -> None:
    made = await make(stand)
    await stand.application.tokens.verify(made.text)
    await elsewhere(stand, made)

    stand.clock.now += 2.001

    assert await refused(stand, made.text)


async def test_open_streams_hear_of_a_revocation_by_the_next_turn_of_upkeep(stand: Stand) -> None:
    tokens = stand.application.tokens
    made = await make(stand)
    principal = await tokens.verify(made.text)
    for _ in range(60):  # a stream that is open for a minute, and asks every second
        stand.clock.now += 1
        assert tokens.still_valid(principal)
        await tokens.known.refresh()

    await elsewhere(stand, made)
    assert tokens.still_valid(principal)
    await tokens.known.refresh()

    assert not tokens.still_valid(principal)


async def test_upkeep_refreshes_tokens_often_enough_for_the_promise(stand: Stand) -> None:
    [timer] = [timer for timer in stand.application.upkeep.timers() if timer.name == "tokens"]

    assert timer.pause() <= 2


async def test_nobody_revokes_what_does_not_exist(stand: Stand) -> None:
    with pytest.raises(TokenNotFound):
        await stand.application.tokens.revoke("0" * 16)
    with pytest.raises(InvalidField):
        await stand.application.tokens.revoke("x")


async def test_principals_without_a_token_are_valid_until_they_expire(stand: Stand) -> None:
    tokens = stand.application.tokens
    subject = Principal(id="oidc:i#s", name="s", expires_at=stand.clock.store_time() + MINUTE)

    assert tokens.still_valid(ANONYMOUS)
    assert tokens.still_valid(subject)
    stand.clock.now += 60
    assert tokens.still_valid(ANONYMOUS)
    assert not tokens.still_valid(subject)


async def test_a_token_in_use_is_read_at_most_once_in_two_seconds(stand: Stand) -> None:
    made = await make(stand)
    reads = Reads(stand.driver.tokens)

    for _ in range(100):
        stand.clock.now += 0.1
        assert not await refused(stand, made.text)

    assert len(reads.batches) <= 5


async def test_calls_that_come_together_share_one_read(stand: Stand) -> None:
    made = [await make(stand, f"name-{n}") for n in range(3)]
    reads = Reads(stand.driver.tokens)
    stand.clock.now += 10

    answers = await asyncio.gather(*(refused(stand, made[n % 3].text) for n in range(300)))

    assert answers == [False] * 300
    assert [sorted(batch) for batch in reads.batches] == [sorted(each.token.id for each in made)]


async def test_a_caller_that_goes_away_spoils_the_read_for_nobody(stand: Stand) -> None:
    made = await make(stand)
    reads = Reads(stand.driver.tokens)
    reads.paused = asyncio.Event()
    stand.clock.now += 10
    first, second = (asyncio.ensure_future(refused(stand, made.text)) for _ in range(2))
    await stand.clock.settle()

    first.cancel()
    await stand.clock.settle()
    reads.paused.set()

    assert not await second
    assert len(reads.batches) == 1


async def test_the_deadline_of_one_caller_does_not_hurry_a_read_for_others(stand: Stand) -> None:
    made = await make(stand)
    patience = Patience(stand.driver.tokens, "get")
    stand.clock.now += 10

    with deadline_in(0.1):
        assert not await refused(stand, made.text)

    assert patience.left == [None]


async def test_an_unknown_id_is_looked_up_once_in_two_seconds_and_then_found_when_it_was_made(stand: Stand) -> None:
    reads = Reads(stand.driver.tokens)
    text = f"pj_{'0' * 15}1_{'0' * 64}"
    for _ in range(100):
        assert await refused(stand, text)
    assert len(reads.batches) == 1

    made = await make(stand, token_id=f"{'0' * 15}1")

    assert not await refused(stand, made.text)


async def test_guessing_neither_evicts_tokens_nor_goes_before_them(stand: Stand) -> None:
    made = await make(stand)
    reads = Reads(stand.driver.tokens)
    for start in range(0, 12_000, 500):
        await asyncio.gather(*(refused(stand, f"pj_{n:016x}_{'0' * 64}") for n in range(start, start + 500)))
    assert len(reads.batches) == 24

    assert not await refused(stand, made.text)
    assert len(reads.batches) == 24

    stand.clock.now += 10
    guesses = [asyncio.ensure_future(refused(stand, f"pj_{n:016x}_{'1' * 64}")) for n in range(20_000, 20_900)]
    await asyncio.gather(refused(stand, made.text), *guesses)
    assert made.token.id in reads.batches[24]


async def test_a_flood_of_unknown_ids_is_refused_and_known_tokens_are_not(stand: Stand) -> None:
    made = await make(stand)
    reads = Reads(stand.driver.tokens)
    reads.paused = asyncio.Event()
    stand.clock.now += 10
    flood = [asyncio.ensure_future(stand.application.tokens.verify(f"pj_{n:016x}_{'0' * 64}")) for n in range(2000)]
    mine = asyncio.ensure_future(stand.application.tokens.verify(made.text))
    await stand.clock.settle()

    reads.paused.set()
    answers = await asyncio.gather(*flood, return_exceptions=True)

    kinds = [type(answer) for answer in answers]
    assert (kinds.count(Unauthenticated), kinds.count(Overloaded)) == (1000, 1000)
    assert (await mine).name == "mailer"


async def test_a_good_token_stays_good_for_a_minute_while_the_store_is_silent(stand: Stand) -> None:
    made = await make(stand)
    await stand.application.tokens.verify(made.text)
    outage = Outage(stand.driver.tokens, "get")

    for _ in range(59):
        stand.clock.now += 1
        assert (await stand.application.tokens.verify(made.text)).name == "mailer"
    stand.clock.now += 2
    with pytest.raises(StoreUnavailable):
        await stand.application.tokens.verify(made.text)

    outage.is_on = False
    assert (await stand.application.tokens.verify(made.text)).name == "mailer"


async def test_a_silent_store_is_asked_once_a_second_for_a_good_token(stand: Stand) -> None:
    made = await make(stand)
    await stand.application.tokens.verify(made.text)
    stand.clock.now += 10
    outage = Outage(stand.driver.tokens, "get")

    for _ in range(50):
        await stand.application.tokens.verify(made.text)

    assert outage.calls == 1


async def test_a_silent_store_leaves_a_wrong_secret_an_ended_token_and_an_unknown_one_refused(stand: Stand) -> None:
    made, ended = await make(stand), await make(stand)
    await stand.application.tokens.revoke(ended.token.id)
    stand.clock.now += 10
    Outage(stand.driver.tokens, "get")

    assert await refused(stand, f"pj_{made.token.id}_{'0' * 64}")
    assert await refused(stand, ended.text)
    with pytest.raises(StoreUnavailable):
        await stand.application.tokens.verify(f"pj_{'0' * 16}_{'0' * 64}")


async def test_open_streams_outlive_a_silent_store_but_not_their_token(stand: Stand) -> None:
    made = await make(stand)
    principal = await stand.application.tokens.verify(made.text)
    Outage(stand.driver.tokens, "get")

    stand.clock.now += 600
    assert stand.application.tokens.still_valid(principal)
    with pytest.raises(StoreUnavailable):
        await stand.application.tokens.known.refresh()
    assert stand.application.tokens.still_valid(principal)

    stand.clock.now += HOUR.total_seconds() - 600
    assert not stand.application.tokens.still_valid(principal)


async def test_a_stream_whose_token_this_server_has_not_read_is_judged_after_the_next_turn(stand: Stand) -> None:
    made = await make(stand)
    principal = Principal(id="token:x", name="x", token_id=made.token.id)
    fresh = Stand(stand.application.over(stand.driver, clock=stand.clock), stand.driver, stand.clock)
    await fresh.application.store_time.refresh()
    await elsewhere(stand, made)

    assert fresh.application.tokens.still_valid(principal)
    await fresh.application.tokens.known.refresh()
    assert not fresh.application.tokens.still_valid(principal)


async def test_an_unforeseen_error_of_a_store_answers_everybody_who_waits(stand: Stand) -> None:
    made = await make(stand)
    Outage(stand.driver.tokens, "get", error=RuntimeError("odd"))
    stand.clock.now += 100

    answers = await asyncio.gather(*(stand.application.tokens.verify(made.text) for _ in range(3)), return_exceptions=True)

    assert {type(answer) for answer in answers} == {StoreUnavailable}


async def test_use_is_noted_at_most_once_a_minute(stand: Stand) -> None:
    tokens = stand.application.tokens
    made, idle = await make(stand), await make(stand)
    calls = Outage(stand.driver.tokens, "used")
    calls.is_on = False

    for _ in range(180):
        stand.clock.now += 1
        await tokens.verify(made.text)
        await tokens.note_uses()

    assert calls.calls == 3
    [used, unused] = await stand.driver.tokens.get([made.token.id, idle.token.id])
    assert used is not None
    assert used.used_at is not None
    assert stand.clock.store_time() - used.used_at <= MINUTE
    assert unused is not None
    assert unused.used_at is None


async def test_use_that_the_store_did_not_take_is_told_again(stand: Stand) -> None:
    tokens = stand.application.tokens
    made = await make(stand)
    await tokens.verify(made.text)
    outage = Outage(stand.driver.tokens, "used")
    with pytest.raises(StoreUnavailable):
        await tokens.note_uses()

    outage.is_on = False
    await tokens.note_uses()

    [stored] = await stand.driver.tokens.get([made.token.id])
    assert stored is not None
    assert stored.used_at is not None


async def open_session(stand: Stand, made: MadeToken, **more: Any) -> MadeToken:
    """Open a console session with a token."""
    return await stand.application.tokens.open_session(await stand.application.tokens.verify(made.text), **more)


async def test_a_session_is_who_opened_it_until_eight_hours_are_over(stand: Stand) -> None:
    made = await make(stand, ttl=timedelta(days=2))
    session = await open_session(stand, made)

    principal = await stand.application.tokens.verify(session.text)

    assert (principal.id, principal.name, principal.grants) == (f"token:{made.token.id}", "mailer", ADMIN)
    assert principal.token_id == session.token.id != made.token.id
    for _ in range(8 * 6 - 1):
        stand.clock.now += 600
        assert not await refused(stand, session.text)
    stand.clock.now += 600
    assert await refused(stand, session.text)
    assert not await refused(stand, made.text)


async def test_a_session_ends_after_half_an_hour_without_use_on_every_server(stand: Stand) -> None:
    tokens = stand.application.tokens
    session = await open_session(stand, await make(stand, ttl=timedelta(days=2)))
    principal = await tokens.verify(session.text)
    other = stand.application.over(stand.driver, clock=stand.clock)
    await other.store_time.refresh()

    stand.clock.now += 1740
    await tokens.verify(session.text)
    await tokens.note_uses()
    stand.clock.now += 1740
    assert (await other.tokens.verify(session.text)).token_id == session.token.id  # used here, seen there

    stand.clock.now += 1741
    assert tokens.still_valid(principal) is False
    for server in (tokens, other.tokens):
        stand.clock.now += 60
        with pytest.raises(Unauthenticated):
            await server.verify(session.text)


async def test_an_open_stream_is_no_use_of_a_session(stand: Stand) -> None:
    tokens = stand.application.tokens
    session = await open_session(stand, await make(stand, ttl=timedelta(days=2)))
    principal = await tokens.verify(session.text)
    await tokens.note_uses()
    for _ in range(29):
        stand.clock.now += 60
        assert tokens.still_valid(principal)
        await tokens.known.refresh()
        await tokens.note_uses()

    stand.clock.now += 60

    assert not tokens.still_valid(principal)


async def test_sessions_end_with_their_token_and_alone(stand: Stand) -> None:
    made = await make(stand)
    first, second = await open_session(stand, made), await open_session(stand, made)

    await stand.application.tokens.revoke(first.token.id)
    assert [await refused(stand, each.text) for each in (made, first, second)] == [False, True, False]

    await stand.application.tokens.revoke(made.token.id)
    assert [await refused(stand, each.text) for each in (made, first, second)] == [True, True, True]


async def test_only_a_live_token_opens_sessions(stand: Stand) -> None:
    tokens = stand.application.tokens
    made = await make(stand)
    principal = await tokens.verify(made.text)
    session = await open_session(stand, made)

    with pytest.raises(PermissionDenied):
        await tokens.open_session(ANONYMOUS)
    with pytest.raises(PermissionDenied):
        await open_session(stand, session)
    with pytest.raises(InvalidField):
        await tokens.open_session(principal, ttl=timedelta(hours=9))
    await tokens.revoke(made.token.id)
    with pytest.raises(TokenNotFound):
        await tokens.open_session(principal)


async def test_a_token_has_a_bounded_number_of_sessions_and_they_are_not_listed(stand: Stand) -> None:
    made = await make(stand)
    for _ in range(100):
        await open_session(stand, made)

    with pytest.raises(QuotaExceeded):
        await open_session(stand, made)

    assert [each.id for each in await stand.application.tokens.page("", 500)] == [made.token.id]


async def test_tokens_are_forgotten_thirty_days_after_their_end(stand: Stand) -> None:
    tokens = stand.application.tokens
    made = await make(stand)
    await tokens.revoke(made.token.id)

    stand.clock.now += timedelta(days=30).total_seconds()
    assert await tokens.forget(10) == 0
    stand.clock.now += 1
    assert await tokens.forget(10) == 1


async def test_a_session_that_was_being_read_when_its_token_was_revoked_is_refused_at_once(stand: Stand) -> None:
    made = await make(stand)
    session = await open_session(stand, made)
    principal = await stand.application.tokens.verify(session.text)
    read, answered = stand.driver.tokens.get, asyncio.Event()

    async def slow(ids: Sequence[TokenId]) -> Sequence[StoredToken | None]:
        found = await read(ids)
        await answered.wait()
        return found

    stand.driver.tokens.get = slow  # type: ignore[method-assign] # the port as the test wants it
    stand.clock.now += 10
    reading = asyncio.ensure_future(refused(stand, session.text))
    await stand.clock.settle()

    await stand.application.tokens.revoke(made.token.id)
    answered.set()

    assert await reading
    assert await refused(stand, session.text)
    assert not stand.application.tokens.still_valid(principal)

"""Tokens of identity providers, and what of them is remembered; forged ones are tried over the wire."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from protojobs_service.application.identity_tokens import ClaimRule, Identities, Issuer
from protojobs_service.domain.access import Grant, Scope
from protojobs_service.domain.errors import IssuerUnavailable, Unauthenticated

from tests.identity import AUDIENCE, ISSUER, Key, KeyServer, key_set
from tests.unit.application.stand import FakeClock

pytestmark = pytest.mark.asyncio

RULES = [
    ClaimRule(claim="sub", value="system:serviceaccount:shop:*", grant=Grant(Scope.WORKER, "shop-*")),
    ClaimRule(claim="groups", value="ops", grant=Grant(Scope.OPERATOR)),
]


class Stand:
    """Identities of one issuer, whose keys a test may change, on a clock that it owns."""

    def __init__(self, *keys: Key, **changes: Any) -> None:
        self.clock = FakeClock()
        self.now = datetime.now(UTC)
        self.answer = key_set(*keys)
        issuer = Issuer(**{"name": ISSUER, "audience": AUDIENCE, "rules": RULES, "read": lambda: self.answer, **changes})
        self.identities = Identities([issuer], self.clock, lambda: self.now)

    async def read(self) -> None:
        """Read the keys."""
        for _, keys in self.identities._issuers.values():
            await keys.refresh()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_token_of_each_algorithm_is_taken(algorithm: str) -> None:
    key = Key(algorithm=algorithm)
    stand = Stand(key)
    await stand.read()

    principal = await stand.identities.verify(key.sign(sub="system:serviceaccount:shop:mailer", groups=["x", "ops", "ops"]))

    assert principal.id == f"oidc:{ISSUER}#system:serviceaccount:shop:mailer"
    assert principal.grants == (Grant(Scope.WORKER, "shop-*"), Grant(Scope.OPERATOR))
    assert principal.token_id is None


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
async def test_an_algorithm_that_the_issuer_does_not_use_is_refused(algorithm: str) -> None:
    key = Key(algorithm=algorithm)
    stand = Stand(key, Key("other"), algorithms=("ES256",))
    await stand.read()

    with pytest.raises(Unauthenticated, match="algorithm"):
        await stand.identities.verify(key.sign())


async def test_a_token_for_several_audiences_is_taken_where_we_are_one() -> None:
    key = Key()
    stand = Stand(key)
    await stand.read()

    assert (await stand.identities.verify(key.sign(aud=["x", AUDIENCE]))).name == "somebody"
    with pytest.raises(Unauthenticated, match="audience"):
        await stand.identities.verify(key.sign(aud=["x", f"{AUDIENCE}2"]))


async def test_what_is_remembered_ends_with_the_token() -> None:
    key = Key()
    stand = Stand(key)
    await stand.read()
    ends = stand.now.replace(microsecond=0) + timedelta(minutes=1)
    token = key.sign(exp=ends)
    first = await stand.identities.verify(token)
    assert await stand.identities.verify(token) is first

    stand.now = ends + timedelta(seconds=30)
    again = await stand.identities.verify(token)  # by PyJWT's own clock it is still good

    assert again is not first
    assert first.expires_at == ends + timedelta(seconds=30)


async def test_a_token_of_a_key_that_was_withdrawn_is_refused_though_it_was_good_before() -> None:
    old, new = Key("old"), Key("new")
    stand = Stand(old, new)
    await stand.read()
    tokens = [key.sign() for key in (old, new)]
    for token in tokens:
        await stand.identities.verify(token)

    stand.answer = key_set(new)
    await stand.read()

    with pytest.raises(Unauthenticated):
        await stand.identities.verify(tokens[0])
    await stand.identities.verify(tokens[1])


async def test_another_key_under_the_same_id_makes_old_tokens_forged() -> None:
    old, new = Key(), Key()
    stand = Stand(old)
    await stand.read()
    token = old.sign()
    await stand.identities.verify(token)

    stand.answer = key_set(new)
    await stand.read()

    with pytest.raises(Unauthenticated):
        await stand.identities.verify(token)


async def test_two_issuers_do_not_vouch_for_each_other() -> None:
    keys = Key(), Key()
    issuers = [
        Issuer(name=name, audience=AUDIENCE, rules=RULES, read=partial(key_set, key))
        for name, key in zip(("https://one", "https://two"), keys, strict=True)
    ]
    identities = Identities(issuers, FakeClock())
    for _, known in identities._issuers.values():
        await known.refresh()

    assert (await identities.verify(keys[1].sign(iss="https://two"))).id == "oidc:https://two#somebody"
    with pytest.raises(Unauthenticated):
        await identities.verify(keys[0].sign(iss="https://two"))


async def test_memory_is_bounded_whatever_tokens_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protojobs_service.application.identity_tokens._MOST_REMEMBERED", 3)
    key = Key()
    stand = Stand(key)
    await stand.read()

    for number in range(10):
        await stand.identities.verify(key.sign(jti=str(number)))

    assert len(stand.identities._seen) <= 3


@pytest.mark.parametrize("failure", ["down", "slow", "no JSON", "status"])
async def test_keys_over_http_survive_a_provider_that_fails_and_follow_it_when_it_is_back(failure: str) -> None:
    from protojobs_service.settings import OidcSettings
    from protojobs_service.transport.authenticators import _reader

    old, new = Key("old"), Key("new")
    server = KeyServer(old)
    with server.serving():
        settings = OidcSettings(issuer=ISSUER, audience=AUDIENCE, jwks_url=server.url, timeout=0.1)
        stand = Stand(read=_reader(settings))
        await stand.read()
        url, good = server.url, server.body
        if failure == "down":
            object.__setattr__(settings, "jwks_url", "http://127.0.0.1:9/keys")
        server.hangs, server.status = failure == "slow", 503 if failure == "status" else 200
        server.body = b"<html>" if failure == "no JSON" else good
        stand.clock.now += 600
        await stand.read()

        assert (await stand.identities.verify(old.sign())).name == "somebody"
        with pytest.raises(IssuerUnavailable):
            await stand.identities.verify(new.sign())
        object.__setattr__(settings, "jwks_url", url)
        server.hangs, server.status, server.body = False, 200, key_set(new)
        await stand.read()
        assert (await stand.identities.verify(new.sign())).name == "somebody"

"""Who is let in, and who is not: tokens of an identity provider and of the service, good, ended and forged."""

import base64
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import jwt
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from protojobs.v1 import admin_service_pb2, admin_service_pb2_grpc
from protojobs_service.settings import InvalidSettings

from tests.identity import ISSUER, Key, KeyServer, good_claims
from tests.wire.callers import KEY, asking, asking_server, bearing, called, provider, with_metadata
from tests.wire.peer import Peer, ended, refused, serving

pytestmark = pytest.mark.asyncio

STRANGER = Key()
"""Another provider's key under the id of ours."""


@pytest_asyncio.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    """Speak to a server that asks for tokens."""
    async with asking_server(tmp_path) as connection:
        yield connection


async def _caller(peer: Peer) -> admin_service_pb2.GetCallerResponse:
    stub: Any = admin_service_pb2_grpc.AdminServiceStub(peer.channel)
    answer: admin_service_pb2.GetCallerResponse = await stub.GetCaller(admin_service_pb2.GetCallerRequest())
    return answer


async def test_a_token_says_who_calls_what_is_allowed_and_until_when(peer: Peer) -> None:
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
    subject = "system:serviceaccount:prod:mailer"
    token = KEY.sign(sub=subject, roles=["worker-a", "no such role", "worker-a"], exp=ends)

    caller = await _caller(bearing(peer, token))

    assert (caller.principal, caller.name) == (
        f"oidc:{ISSUER}#system:serviceaccount:prod:mailer",
        "system:serviceaccount:prod:mailer",
    )
    assert [(grant.scope, grant.queues) for grant in caller.grants] == [(admin_service_pb2.SCOPE_WORKER, "a-*")]
    assert caller.expire_time.ToDatetime(UTC) == ends + timedelta(seconds=30)  # clocks may be apart so far


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, default=str).encode()).rstrip(b"=").decode()


def _unsigned(header: dict[str, Any], signature: str = "") -> str:
    claims = {**good_claims(), "roles": ["admin-all"]}
    numbers = {name: value.timestamp() if isinstance(value, datetime) else value for name, value in claims.items()}
    return f"{_part(header)}.{_part(numbers)}.{signature}"


def _signed_with_the_public_key() -> str:
    token = _unsigned({"alg": "HS256", "kid": KEY.id})[:-1]
    mac = hmac.new(KEY.pem, token.encode(), sha256).digest()
    return f"{token}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def _tampered() -> str:
    header, _, signature = KEY.sign().split(".")
    return f"{header}.{_unsigned({}).split('.')[1]}.{signature}"


NOW = datetime.now(UTC)
FORGED = {
    "alg none": _unsigned({"alg": "none"}),
    "alg None": _unsigned({"alg": "None", "kid": KEY.id}),
    "no alg": _unsigned({"kid": KEY.id}),
    "a list of alg": _unsigned({"alg": ["ES256"], "kid": KEY.id}),
    "a number of kid": _unsigned({"alg": "ES256", "kid": 7}, "AAAA"),
    "no signature": _unsigned({"alg": "ES256", "kid": KEY.id}),
    "hmac with the public key": _signed_with_the_public_key(),
    "another key": STRANGER.sign(),
    "another key of another id": Key("second").sign(),
    "another key in the header": STRANGER.sign(headers={"jwk": STRANGER.public}),
    "another key at a url": STRANGER.sign(headers={"jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/keys"}),
    "another algorithm": Key(algorithm="RS256").sign(),
    "other claims": _tampered(),
    "critical extension": KEY.sign(headers={"crit": ["exp"], "exp": 1}),
    "wrong audience": KEY.sign(aud="another"),
    "no audience": KEY.sign(without=("aud",)),
    "wrong issuer": KEY.sign(iss="https://id.example.test.evil"),
    "no issuer": KEY.sign(without=("iss",)),
    "expired": KEY.sign(exp=NOW - timedelta(seconds=31)),
    "never expires": KEY.sign(without=("exp",)),
    "expires with words": KEY.sign(exp="never"),
    "not yet": KEY.sign(nbf=NOW + timedelta(days=1)),
    "made in the future": KEY.sign(iat=NOW + timedelta(days=1)),
    "nobody": KEY.sign(without=("sub",)),
    "deep": f"{_part({'alg': 'ES256'})}.{base64.urlsafe_b64encode(b'[' * 5000).decode()}.AAAA",
    "deep header": f"{base64.urlsafe_b64encode(b'[' * 5000).decode()}.{_part({})}.AAAA",
    "two parts": "a.b",
    "no text": "\u00ff".encode("latin-1").hex(),
    "empty": "",
    "one of ours, forged": f"pj_{'0' * 16}_{'0' * 64}",
    "one of ours, cut": "pj_0",
    "one of ours, worse": "pj_\u0000".encode().hex(),
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
async def test_a_forged_ended_or_malformed_token_is_refused_and_nothing_is_told(peer: Peer, token: str) -> None:
    refusal = await refused(_caller(bearing(peer, token)))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert refusal.metadata == {}
    assert "example.test" not in refusal.message


@pytest.mark.parametrize(
    "metadata",
    [
        [("authorization", "Basic YTpi")],
        [("authorization", "Bearer")],
        [("authorization", f"Bearer {KEY.sign()}"), ("authorization", f"Bearer {KEY.sign()}")],
        [("authorization-bin", b"Bearer x")],
        [("cookie", f"token={KEY.sign()}")],
    ],
    ids=["another scheme", "nothing", "two", "bytes", "a cookie"],
)
async def test_credentials_of_another_form_are_none(peer: Peer, metadata: Any) -> None:
    refusal = await refused(_caller(with_metadata(peer, *metadata)))

    assert refusal.reason == "UNAUTHENTICATED"


async def test_the_scheme_may_be_written_in_any_case(peer: Peer) -> None:
    assert (await _caller(with_metadata(peer, ("authorization", f"bearer {KEY.sign()}")))).name == "somebody"


async def test_probes_need_no_credentials_and_reflection_needs_an_administrator(peer: Peer) -> None:
    health: Any = health_pb2_grpc.HealthStub(peer.channel)
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
    assert (await health.Watch(health_pb2.HealthCheckRequest()).read()).status == health_pb2.HealthCheckResponse.SERVING

    async def reflect(by: Peer) -> Any:
        stub = reflection_pb2_grpc.ServerReflectionStub(cast(Any, by.channel))
        answers: Any = stub.ServerReflectionInfo
        return answers(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))

    assert (await ended(await reflect(peer))).reason == "UNAUTHENTICATED"
    assert (await ended(await reflect(called(peer, "op", "operator-all")))).reason == "PERMISSION_DENIED"
    answer = await (await reflect(called(peer, "root", "admin-all"))).read()
    assert len(answer.list_services_response.service) > 5


async def test_a_provider_that_cannot_be_asked_makes_nobody_known_and_nobody_refused_for_good() -> None:
    keys = KeyServer(KEY)
    keys.status = 500
    with keys.serving():
        issuer = provider(Path("unused"), jwks_file=None, jwks_url=keys.url)
        async with serving(auth={"mode": "required", "oidc": [issuer]}) as peer:
            refusal = await refused(_caller(bearing(peer, KEY.sign())))

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "ISSUER_UNAVAILABLE")


async def test_keys_come_over_http_with_the_servers_own_token(tmp_path: Path) -> None:
    own = tmp_path / "token"
    own.write_text("my own\n")
    with KeyServer(KEY).serving() as keys:
        issuer = provider(Path("unused"), jwks_file=None, jwks_url=keys.url, token_file=own)
        async with serving(auth={"mode": "required", "oidc": [issuer]}) as peer:
            assert (await _caller(bearing(peer, KEY.sign()))).name == "somebody"

    assert keys.headers[0]["authorization"] == "Bearer my own"


async def test_on_loopback_nobody_is_asked_and_everybody_is_anonymous() -> None:
    async with serving() as peer:
        caller = await _caller(bearing(peer, "whatever"))

    assert (caller.principal, len(caller.grants)) == ("anonymous", 5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"auth": {"mode": "required"}}, "nobody could be let in"),
        ({"host": "0.0.0.0", "insecure": True, "auth": {"mode": "required"}}, "nobody could be let in"),
        ({"auth": {"mode": "required", "mtls": [{"uri": "spiffe://x/*"}]}}, "tls.client_auth"),
    ],
    ids=["no proof", "no proof beyond loopback", "no certificates"],
)
async def test_a_server_that_could_let_nobody_in_does_not_start(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        async with serving(**settings):
            pass


@pytest.mark.parametrize(
    "issuer",
    [
        {"jwks_url": "http://id.example.test/keys"},
        {"jwks_url": "file:///etc/keys"},
        {"jwks_url": "https://id.example.test/keys", "jwks_file": "keys.json"},
        {},
        {"jwks_file": "keys.json", "algorithms": ["HS256"]},
        {"jwks_file": "keys.json", "algorithms": ["none"]},
        {"jwks_file": "keys.json", "algorithms": []},
        {"jwks_file": "keys.json", "audience": ""},
        {"jwks_file": "keys.json", "grants": [{"claim": "sub", "value": "*", "scope": "worker", "queues": "[a]"}]},
        {"jwks_file": "keys.json", "grants": [{"claim": "sub", "value": "*", "scope": "root"}]},
    ],
    ids=["plain http", "a file as url", "two places", "no place", "HS256", "none", "no algorithm", "no audience", "glob", "scope"],
)
async def test_settings_of_a_provider_that_would_let_anybody_in_are_refused(issuer: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettings, match=r"auth\.oidc\.0"):
        async with serving(auth={"mode": "required", "oidc": [{"issuer": "x", "audience": "y", **issuer}]}):
            pass


async def test_an_issuer_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    settings = asking(tmp_path)
    settings["auth"]["oidc"] *= 2
    with pytest.raises(InvalidSettings, match="named twice"):
        async with serving(**settings):
            pass


async def test_claims_that_are_no_texts_grant_nothing(peer: Peer) -> None:
    for roles in (7, None, {"admin-all": True}, [["admin-all"], {"x": 1}, 5], "admin-*", ["admin-al?"]):
        caller = await _caller(bearing(peer, KEY.sign(roles=roles)))
        assert list(caller.grants) == [], roles


async def test_an_unverified_token_is_never_remembered(peer: Peer) -> None:
    good = KEY.sign(roles=["admin-all"])
    await _caller(bearing(peer, good))

    header, claims, signature = good.split(".")
    assert jwt.get_unverified_header(good)["alg"] == "ES256"
    changed = f"{header}.{claims}.{signature[:-4]}{'AAAA' if signature[-4:] != 'AAAA' else 'BBBB'}"

    assert (await refused(_caller(bearing(peer, changed)))).reason == "UNAUTHENTICATED"

"""Tokens of identity providers: JSON Web Tokens (RFC 7519) as OpenID Connect and Kubernetes issue them, to principals."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final, NamedTuple

import jwt

from protojobs_service.application.clock import Clock, SystemClock
from protojobs_service.application.key_set import KeySet, ReadKeys
from protojobs_service.domain.access import Grant, Principal, matches
from protojobs_service.domain.errors import Unauthenticated
from protojobs_service.domain.recent import Recent

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
"""All that is ever taken: never `none`, never one with a shared secret (RFC 8725, 3.1)."""

_LEEWAY = timedelta(seconds=30)
_MOST_REMEMBERED = 4096
_REQUIRED = ["exp", "iss", "aud", "sub"]
# The last three are what JSON that is too deep or too large a number ends in.
_MALFORMED = (jwt.PyJWTError, RecursionError, OverflowError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRule:
    """Tokens in which this claim, a text or a list of texts, has a value that matches `value` hold a grant."""

    claim: str
    value: str
    grant: Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """A provider that is trusted. audience: what its tokens must be meant for. read: gets its keys."""

    name: str
    audience: str
    algorithms: Sequence[str] = ALGORITHMS
    rules: Sequence[ClaimRule]
    read: ReadKeys


class _Seen(NamedTuple):
    principal: Principal
    version: int


class Identities:
    """Verifies tokens of the issuers that it is given, and of no other.

    What was verified is remembered until it ends or the issuer's keys change, so a call costs a look-up and a hash.
    """

    def __init__(
        self, issuers: Sequence[Issuer], clock: Clock | None = None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        clock = clock or SystemClock()
        self._issuers = {issuer.name: (issuer, KeySet(issuer.name, issuer.read, issuer.algorithms, clock)) for issuer in issuers}
        self._now = now
        self._seen = Recent[bytes, tuple[KeySet, _Seen]](_MOST_REMEMBERED)

    async def verify(self, text: str) -> Principal:
        """Return whose token it is. Raises Unauthenticated; IssuerUnavailable where the issuer's keys cannot be read."""
        digest = sha256(text.encode()).digest()
        known = self._seen.get(digest)
        if known is not None and known[0].version == known[1].version and self._lives(known[1].principal):
            return known[1].principal
        self._seen.pop(digest, None)
        issuer, keys = self._issuer(text)
        version, principal = keys.version, await self._principal(issuer, keys, text)
        self._seen[digest] = keys, _Seen(principal, version)
        return principal

    async def run(self) -> None:
        """Keep the keys of every issuer fresh until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, (_, keys) in self._issuers.items():
                tasks.create_task(keys.run(), name=f"keys of {name}")

    def _lives(self, principal: Principal) -> bool:
        return principal.expires_at is not None and self._now() < principal.expires_at

    def _issuer(self, text: str) -> tuple[Issuer, KeySet]:
        """Return whose token it claims to be: that much is believed before it is verified, and used for nothing else."""
        try:
            claims: Mapping[str, Any] = jwt.decode(text, options={"verify_signature": False})
        except _MALFORMED:
            raise Unauthenticated("the token is malformed") from None
        found = self._issuers.get(str(claims.get("iss")))
        if found is None:
            raise Unauthenticated("the token's issuer is not trusted here")
        return found

    async def _principal(self, issuer: Issuer, keys: KeySet, text: str) -> Principal:
        try:
            header = jwt.get_unverified_header(text)
        except _MALFORMED:
            raise Unauthenticated("the token is malformed") from None
        # Before a key is looked for, so that such tokens never make the provider be asked.
        if header.get("alg") not in issuer.algorithms:
            raise Unauthenticated("the token's algorithm is not allowed")
        key = await keys.find(header.get("kid"))
        if key is None:
            raise Unauthenticated("the token is signed with an unknown key")
        try:
            claims: Mapping[str, Any] = jwt.decode(
                text,
                key,
                algorithms=[key.algorithm_name],
                audience=issuer.audience,
                issuer=issuer.name,
                leeway=_LEEWAY,
                options={"require": _REQUIRED},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired") from None
        except jwt.InvalidAudienceError:
            raise Unauthenticated("the token is meant for another audience") from None
        except _MALFORMED:
            raise Unauthenticated("the token is not valid") from None
        return _to_principal(issuer, claims)


def _to_principal(issuer: Issuer, claims: Mapping[str, Any]) -> Principal:
    subject = str(claims["sub"])
    try:
        expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC) + _LEEWAY
    except (OverflowError, ValueError):
        raise Unauthenticated("the token is not valid") from None
    return Principal(
        id=f"oidc:{issuer.name}#{subject}",
        name=subject,
        grants=tuple(dict.fromkeys(rule.grant for rule in issuer.rules if _fits(rule, claims))),
        expires_at=expires_at,
    )


def _fits(rule: ClaimRule, claims: Mapping[str, Any]) -> bool:
    found = claims.get(rule.claim)
    values: list[Any] = [*found] if isinstance(found, list) else [found]
    return any(isinstance(value, str) and matches(rule.value, value) for value in values)

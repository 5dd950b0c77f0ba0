"""Who calls: what came with a call is proven by a token of this service, by one of an identity provider, or by a certificate."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from protojobs_service.application.new_tokens import TOKEN_PREFIX
from protojobs_service.application.peers import Peers
from protojobs_service.domain.access import Principal
from protojobs_service.domain.errors import Unauthenticated

MOST_BEARER = 8192
"""Characters of a bearer token; more is refused unread."""


class Proof(NamedTuple):
    """What came with a call. bearer: the text behind `Bearer`, None where there is none.

    uris, hosts: subject alternative names of the peer's certificate, which the handshake has verified.
    """

    bearer: str | None = None
    uris: Sequence[str] = ()
    hosts: Sequence[str] = ()


class OwnTokens(Protocol):
    """Tokens of this service (`application.tokens`)."""

    async def verify(self, text: str) -> Principal:
        """Return whose token it is. Raises Unauthenticated, StoreUnavailable, Overloaded."""
        ...

    def still_valid(self, principal: Principal) -> bool:
        """Tell whether what proved a principal is neither expired nor revoked; reads nothing."""
        ...


class IdentityTokens(Protocol):
    """Tokens of identity providers (`application.identity_tokens`)."""

    async def verify(self, text: str) -> Principal:
        """Return whose token it is. Raises Unauthenticated, IssuerUnavailable."""
        ...

    async def run(self) -> None:
        """Keep the keys of the providers fresh until cancelled."""
        ...


class Authentication:
    """Finds the principal of a call. A bearer token that is wrong is never made up for by a certificate."""

    def __init__(
        self,
        tokens: OwnTokens,
        identities: IdentityTokens | None = None,
        peers: Peers | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tokens = tokens
        self._identities = identities
        self._peers = peers
        self._now = now

    async def principal(self, proof: Proof) -> Principal:
        """Return who calls. Raises Unauthenticated; IssuerUnavailable where it cannot be told now."""
        bearer = proof.bearer
        if bearer is None:
            peer = None if self._peers is None else self._peers.find(proof.uris, proof.hosts)
            if peer is None:
                raise Unauthenticated("no credentials came with the call")
            return peer
        if len(bearer) > MOST_BEARER:
            raise Unauthenticated("the token is too long")
        if bearer.startswith(TOKEN_PREFIX):
            return await self._tokens.verify(bearer)
        if self._identities is None:
            raise Unauthenticated("the token is not one of this service")
        return await self._identities.verify(bearer)

    def still_valid(self, principal: Principal) -> bool:
        """Tell whether streams of a principal may go on: cheap, and reads nothing."""
        if principal.token_id is None:
            return principal.expires_at is None or self._now() < principal.expires_at
        return self._tokens.still_valid(principal)

    async def run(self) -> None:
        """Keep what it needs fresh until cancelled."""
        if self._identities is not None:
            await self._identities.run()

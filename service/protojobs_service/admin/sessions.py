"""Who looks at the console: a session is a token of its own, opened with another one, and kept by the browser in a cookie."""

import contextlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

from protojobs_service.application import NewAuditRecord
from protojobs_service.domain.access import Principal, Scope, TokenId
from protojobs_service.domain.errors import NotFound, Unauthenticated

VIA: Final = "console"

Record = Callable[[NewAuditRecord], Awaitable[None]]


class Opened(Protocol):
    """A session: its token's text is the only copy, and goes into the cookie."""

    @property
    def text(self) -> str:
        """Return what proves the session."""
        ...


class Tokens(Protocol):
    """What sessions need of tokens."""

    async def verify(self, text: str) -> Principal:
        """Return whose token this is, a session's too. Raises Unauthenticated, StoreUnavailable, Overloaded."""
        ...

    async def open_session(self, principal: Principal) -> Opened:
        """Open a session for the holder of a token. Raises PermissionDenied, TokenNotFound, QuotaExceeded, StoreUnavailable."""
        ...

    async def revoke(self, token_id: TokenId) -> object:
        """End a token or a session. Raises InvalidField, TokenNotFound, StoreUnavailable."""
        ...


class Sessions:
    """Opens and closes sessions, which end 8 h after that and when idle for 30 min; both go into the audit log."""

    def __init__(self, tokens: Tokens, record: Record) -> None:
        self._tokens = tokens
        self._record = record

    async def verify(self, text: str) -> Principal:
        """Return who a session proves; a token itself proves nobody here. Raises Unauthenticated, StoreUnavailable, Overloaded."""
        principal = await self._tokens.verify(text)
        if not principal.is_session:
            raise Unauthenticated
        return principal

    async def open(self, token: str, *, peer: str) -> str:
        """Open a session with a token, and return its credential.

        Raises Unauthenticated, PermissionDenied (a session opens no other), TokenNotFound, QuotaExceeded, StoreUnavailable,
        Overloaded.
        """
        principal = await self._tokens.verify(token)
        opened = await self._tokens.open_session(principal)
        await self._note("login", principal, peer)
        return opened.text

    async def close(self, credential: str, *, peer: str) -> None:
        """End a session; one that has ended already stays so. Raises StoreUnavailable, Overloaded."""
        with contextlib.suppress(Unauthenticated, NotFound):
            principal = await self.verify(credential)
            if principal.token_id is not None:
                await self._tokens.revoke(principal.token_id)
                await self._note("logout", principal, peer)

    async def _note(self, what: str, principal: Principal, peer: str) -> None:
        target = principal.token_id or ""
        record = NewAuditRecord(principal=principal.id, via=VIA, rpc=f"{VIA}/{what}", target=target, outcome="OK", peer=peer)
        await self._record(record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks for a page. credential: the session's token, empty where the server asks nobody. key: what forms are signed with."""

    principal: Principal | None
    credential: str
    key: str

    @property
    def csrf(self) -> str:
        """Return what every form of this visitor holds, and no other site can know."""
        return hmac.digest(self.key.encode(), b"protojobs console form", sha256).hex()

    def may(self, scope: Scope, queue: str | None = None) -> bool:
        """Tell whether the visitor holds a scope, on this queue or on any. For what is shown: the call itself is judged again."""
        if self.principal is None:
            return False
        wanted = {scope, Scope.ADMIN}
        return not self.principal.scopes.isdisjoint(wanted) if queue is None else self.principal.may(wanted, queue)

"""Who looks at the console: a session is a token of its own, opened with another one, and kept by the browser in a cookie."""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from protojobs_service.domain.access import Principal, Scope, TokenId


class Opened(Protocol):
    """A session: its token's text is the only copy, and goes into the cookie."""

    @property
    def text(self) -> str:
        """Return what proves the session."""
        ...


class Sessions(Protocol):
    """What the console needs of tokens. Sessions end 8 h after they were opened and when idle for 30 min."""

    async def verify(self, text: str) -> Principal:
        """Return whose token this is, a session's too. Raises Unauthenticated, StoreUnavailable, Overloaded."""
        ...

    async def open_session(self, principal: Principal) -> Opened:
        """Open a session for the holder of a token. Raises PermissionDenied, TokenNotFound, QuotaExceeded, StoreUnavailable."""
        ...

    async def revoke(self, token_id: TokenId) -> object:
        """End a token or a session. Raises InvalidField, TokenNotFound, StoreUnavailable."""
        ...


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

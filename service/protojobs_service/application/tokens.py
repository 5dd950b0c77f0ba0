"""Tokens: make, look at, revoke; tell who one proves, and whether that still holds; console sessions."""

import hmac
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from protojobs_service.application.clock import Clock
from protojobs_service.application.known_tokens import Known, KnownTokens
from protojobs_service.application.new_tokens import MadeToken, check_id, hash_of, make_session, make_token
from protojobs_service.application.store_time import StoreTime
from protojobs_service.domain import bounds
from protojobs_service.domain.access import Grant, Principal, TokenId
from protojobs_service.domain.errors import PermissionDenied, TokenNotFound, Unauthenticated
from protojobs_service.port import Driver, StoredToken

_TEXT = re.compile(r"pj_([0-9a-f]{16})_([0-9a-f]{64})\Z")
_NOBODYS = bytes(sha256().digest_size)
_NOTE_EVERY = 60.0
_NOTES_AT_A_TIME = 500


class Tokens:
    """Acts on tokens."""

    def __init__(self, driver: Driver, store_time: StoreTime, clock: Clock) -> None:
        self._driver = driver
        self._store_time = store_time
        self._clock = clock
        self.known = KnownTokens(driver, clock)
        self._uses: set[TokenId] = set()

    async def create(
        self, name: str, grants: Sequence[Grant], ttl: timedelta, *, created_by: str, token_id: TokenId = ""
    ) -> MadeToken:
        """Make a token; without an id it gets a random one. created_by: the id of a principal.

        Raises InvalidField (name, grants, grants[i].queues, ttl, token_id), TokenExists, QuotaExceeded where two of this name live,
        StoreUnavailable.
        """
        made = await make_token(self._driver.tokens, name, grants, ttl, created_by=created_by, token_id=token_id)
        self.known.learn(made.token)
        return made

    async def page(self, after: TokenId, limit: int) -> Sequence[StoredToken]:
        """Return tokens by id, from the first one behind `after`; ended ones too, sessions not. Raises StoreUnavailable."""
        return await self._driver.tokens.page(after, limit)

    async def revoke(self, token_id: TokenId) -> StoredToken:
        """End a token, and the sessions opened with it. This replica refuses them at once, others within 5 s.

        Repeating it changes nothing. Raises InvalidField (token_id), TokenNotFound, StoreUnavailable.
        """
        check_id(token_id)
        token = await self._driver.tokens.revoke(token_id)
        if token is None:
            raise TokenNotFound
        self.known.learn(token)
        return token

    async def verify(self, text: str) -> Principal:
        """Return who a token proves.

        Mostly without the store: what was read in the last 2 s holds, and an upkeep timer reads again. While the store does not
        answer, a token that was good in the last 60 s stays good. Raises Unauthenticated, which does not say why; StoreUnavailable
        where the store does not answer; Overloaded in a flood of unknown ids.
        """
        parts = _TEXT.match(text)
        if parts is None:
            raise Unauthenticated
        token_id, secret = parts.groups()
        known = await self.known.get(token_id)
        expected = _NOBODYS if known is None else known.token.secret_hash
        proven = hmac.compare_digest(hash_of(secret), expected)
        if known is None or not proven or not self._is_live(known, self._store_time.now()):
            raise Unauthenticated
        self._note(known)
        return known.principal

    def still_valid(self, principal: Principal) -> bool:
        """Tell whether what proved a principal still does; for streams, every 3 s at least: it never asks the store.

        An upkeep timer reads again, each second, the tokens that this was asked about. While the store does not answer, only
        expiry ends a principal. It is no use of a console session.
        """
        now = self._store_time.now()
        if principal.expires_at is not None and principal.expires_at <= now:
            return False
        if principal.token_id is None:
            return True
        try:
            known = self.known.peek(principal.token_id)
        except KeyError:
            return True
        return known is not None and self._is_live(known, now)

    async def open_session(self, principal: Principal, *, ttl: timedelta = bounds.SESSION_TTL) -> MadeToken:
        """Make a token with the grants of the one that proves `principal`, which ends with it, or after 30 min without use.

        Close it with `revoke`. Raises InvalidField (ttl), PermissionDenied where no token or a session proves the principal,
        TokenNotFound where that token has ended, QuotaExceeded, StoreUnavailable.
        """
        if principal.token_id is None:
            raise PermissionDenied("sessions are opened with tokens")
        [parent] = await self._driver.tokens.get([principal.token_id])
        if parent is None:
            raise TokenNotFound
        if parent.parent is not None:
            raise PermissionDenied("a session opens no other session")
        made = await make_session(self._driver.tokens, parent, ttl)
        self.known.learn(made.token)
        return made

    async def note_uses(self) -> None:
        """Tell the store which tokens were used since the last time. Raises StoreUnavailable; then they are told later."""
        uses = list(self._uses)
        for start in range(0, len(uses), _NOTES_AT_A_TIME):
            some = uses[start : start + _NOTES_AT_A_TIME]
            await self._driver.tokens.used(some)
            self._uses.difference_update(some)

    async def forget(self, limit: int) -> int:
        """Drop tokens that ended 30 days ago, at most `limit`; returns how many. Raises StoreUnavailable."""
        return await self._driver.tokens.forget(bounds.TOKENS_KEPT, limit)

    def _note(self, known: Known) -> None:
        now = known.used_at = self._clock.monotonic()
        if now - known.noted_at >= _NOTE_EVERY:
            known.noted_at = now
            self._uses.add(known.token.id)

    def _is_live(self, known: Known, now: datetime) -> bool:
        token = known.token
        # Revocation has no time of its own here: this server may be a little behind the store that noted it.
        if token.revoked_at is not None or token.ends_at <= now:
            return False
        if token.parent is None:
            return True
        # The session may have been read before the store ended it together with its token.
        if self.known.is_revoked(token.parent):
            return False
        idle = now - (token.used_at or token.created_at)
        here = timedelta(seconds=min(self._clock.monotonic() - known.used_at, bounds.SESSION_TTL.total_seconds()))
        return min(idle, here) < bounds.SESSION_IDLE

"""What this replica knows of tokens: as the store had them a moment ago, read in batches however many callers ask."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from protojobs_service.application.clock import Clock
from protojobs_service.domain.access import Principal, TokenId
from protojobs_service.domain.errors import NOT_NOW, Overloaded, StoreUnavailable
from protojobs_service.domain.recent import Recent
from protojobs_service.port import Driver, StoredToken
from protojobs_service.port.deadline import unhurried

_log = logging.getLogger(__name__)

FRESH = 2.0
"""Seconds for which what was read is taken as it is."""
TRUSTED = 60.0
"""Seconds for which a token goes on being what it was while the store does not answer."""
_IN_USE = 10.0
_SILENCE = 1.0
_AT_A_TIME = 500
_MOST_KNOWN, _MOST_MISSING, _MOST_WAITING = 10_000, 10_000, 1000


@dataclass(slots=True)
class Known:
    """A token as it was read at `read_at`. asked_at: when somebody last wanted to know; used_at: when it last proved a call here;
    noted_at: when that was last noted for the store. All by the monotonic clock.
    """

    token: StoredToken
    principal: Principal
    read_at: float
    asked_at: float
    noted_at: float = float("-inf")
    used_at: float = float("-inf")


class KnownTokens:
    """Caches tokens, at most `FRESH` old while the store answers.

    Ids that are no token's are cached too, apart, so that guessing evicts none; both caches are bounded.
    """

    def __init__(self, driver: Driver, clock: Clock) -> None:
        self._driver = driver
        self._clock = clock
        self._found = Recent[TokenId, Known](_MOST_KNOWN)
        self._missing = Recent[TokenId, float](_MOST_MISSING)
        self._unread: set[TokenId] = set()
        self._wanted: dict[TokenId, asyncio.Future[StoreUnavailable | None]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._silent_until = float("-inf")

    async def get(self, token_id: TokenId) -> Known | None:
        """Return a token, read anew unless that was just done; None for none.

        Raises StoreUnavailable where it was not read in the last `TRUSTED` seconds, Overloaded where too many unknown ids wait.
        """
        now = self._clock.monotonic()
        known = self._found.get(token_id)
        if known is not None:
            known.asked_at = now
            age = now - known.read_at
            if age <= FRESH or (now < self._silent_until and age <= TRUSTED):
                return known
        elif now - self._missing.get(token_id, float("-inf")) <= FRESH:
            return None
        failure = await self._read(token_id)
        known = self._found.get(token_id)
        if failure is None or (known is not None and self._clock.monotonic() - known.read_at <= TRUSTED):
            return known
        raise StoreUnavailable from failure

    def peek(self, token_id: TokenId) -> Known | None:
        """Return a token as it was read last; None where it does not exist. Raises KeyError where it is to be read first: soon."""
        known = self._found.get(token_id)
        if known is not None:
            known.asked_at = self._clock.monotonic()
            return known
        if token_id in self._missing:
            return None
        if len(self._unread) < _MOST_WAITING:
            self._unread.add(token_id)
        raise KeyError(token_id)

    def learn(self, token: StoredToken) -> None:
        """Take a token as the store has just answered it: what was asked before brings nothing else."""
        self._take(token.id, token, self._clock.monotonic())

    def is_revoked(self, token_id: TokenId) -> bool:
        """Tell whether a token is known here to be revoked; reads nothing."""
        known = self._found.get(token_id)
        return known is not None and known.token.revoked_at is not None

    async def refresh(self) -> None:
        """Read what somebody asked for in the last seconds. Raises StoreUnavailable."""
        now = self._clock.monotonic()
        in_use = [each for each, known in self._found.items() if now - known.asked_at <= _IN_USE]
        ids = [*self._unread, *in_use]
        for start in range(0, len(ids), _AT_A_TIME):
            await self._read_some(ids[start : start + _AT_A_TIME])

    async def finish(self) -> None:
        """Return once nothing is being read."""
        if self._reader is not None:
            await asyncio.wait([self._reader])

    async def _read(self, token_id: TokenId) -> StoreUnavailable | None:
        """Read a token together with whatever else is wanted; returns the failure that all of them met."""
        waiting = self._wanted.get(token_id)
        if waiting is None:
            if token_id not in self._found and len(self._wanted) >= _MOST_WAITING:
                raise Overloaded("too many unknown tokens at once")
            loop = asyncio.get_running_loop()
            waiting = self._wanted[token_id] = loop.create_future()
            if self._reader is None or self._reader.done():
                # It ends with what is wanted, whoever of the callers goes first.
                self._reader = loop.create_task(self._read_wanted(), name="tokens", context=unhurried())
        return await asyncio.shield(waiting)

    async def _read_wanted(self) -> None:
        while self._wanted:
            # Tokens that exist go before ids that somebody may be guessing.
            ids = sorted(self._wanted, key=lambda each: each not in self._found)[:_AT_A_TIME]
            failure: StoreUnavailable | None = None
            try:
                await self._read_some(ids)
            except NOT_NOW:
                failure = StoreUnavailable()
            except Exception:  # noqa: BLE001 # those who wait must hear something
                _log.exception("tokens not read")
                failure = StoreUnavailable()
            for each in ids:
                waiting = self._wanted.pop(each)
                if not waiting.done():
                    waiting.set_result(failure)

    async def _read_some(self, ids: Sequence[TokenId]) -> None:
        asked_at = self._clock.monotonic()
        try:
            tokens = await self._driver.tokens.get(ids)
        except NOT_NOW:
            self._silent_until = self._clock.monotonic() + _SILENCE
            raise
        self._silent_until = float("-inf")
        for token_id, token in zip(ids, tokens, strict=True):
            self._take(token_id, token, asked_at)

    def _take(self, token_id: TokenId, token: StoredToken | None, read_at: float) -> None:
        self._unread.discard(token_id)
        if token is None:
            self._found.pop(token_id, None)
            self._missing[token_id] = read_at
            return
        self._missing.pop(token_id, None)
        known = self._found.get(token_id)
        if known is None:
            self._found[token_id] = Known(token, _principal(token), read_at, asked_at=self._clock.monotonic())
        elif read_at >= known.read_at:
            known.token, known.read_at = token, read_at
            self._found[token_id] = known


def _principal(token: StoredToken) -> Principal:
    """Return who a token proves; a console session is whoever opened it."""
    return Principal(
        id=f"token:{token.parent or token.id}",
        name=token.name,
        grants=token.grants,
        token_id=token.id,
        expires_at=token.expires_at,
    )

"""The public keys of one identity provider: read beside the calls, and kept while the provider cannot be reached."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

from jwt import PyJWK, PyJWKSet

from protojobs_service.application.clock import Clock
from protojobs_service.domain.errors import IssuerUnavailable

_log = logging.getLogger(__name__)

_REFRESH = 600.0
_AGAIN = 30.0
"""Seconds after a read that failed."""
_BETWEEN_MISSES = 10.0
"""Seconds from one read to another that a token with an unknown key may cause."""
_READ_WITHIN = 10.0
_TRUSTED_FOR = timedelta(hours=24).total_seconds()

ReadKeys = Callable[[], Any]
"""Returns what should be a JSON Web Key Set (RFC 7517). It may block, and may raise anything."""


class KeySet:
    """Keys by their id. Only keys of `algorithms` are taken, so a provider's symmetric key is never one.

    A read that fails keeps what was read before, for a day: a key that a provider has withdrawn must not be trusted for ever
    because somebody keeps us from hearing of it.
    """

    def __init__(self, name: str, read: ReadKeys, algorithms: Sequence[str], clock: Clock) -> None:
        self.version = 0
        """Grows with every change of the keys."""
        self._name = name
        self._read = read
        self._algorithms = frozenset(algorithms)
        self._clock = clock
        self._keys: Mapping[str | None, PyJWK] = {}
        self._found: Any = None
        self._good_at = self._looked_at = float("-inf")
        self._reading: asyncio.Task[Any] | None = None
        self._is_wanted = asyncio.Event()
        self._turned = asyncio.Event()

    async def find(self, key_id: str | None) -> PyJWK | None:
        """Return a key, None where the provider has none of this id; at most once in 10 s that makes it look again.

        A token without a key id is taken where the provider has one key only. Raises IssuerUnavailable where they cannot be read.
        """
        key = self._keys.get(key_id)
        if key is None and self._clock.monotonic() - self._looked_at >= _BETWEEN_MISSES:
            turned = self._turned
            self._is_wanted.set()
            await self._clock.wait(turned, _READ_WITHIN)
            key = self._keys.get(key_id)
        now = self._clock.monotonic()
        if now - self._good_at > _TRUSTED_FOR or (key is None and self._good_at < self._looked_at):
            raise IssuerUnavailable
        return key

    async def run(self) -> None:
        """Read now, every 10 min, and when a token has an unknown key; until cancelled."""
        while True:
            pause = _REFRESH if await self.refresh() else _AGAIN
            self._is_wanted.clear()  # whoever came during the read has been served by it
            self._turned.set()
            self._turned = asyncio.Event()
            await self._clock.wait(self._is_wanted, pause)

    async def refresh(self) -> bool:
        """Read the keys, on another thread; tells whether they could be read."""
        try:
            found = await self._answer()
            keys = self._usable(found)
        except Exception as error:  # noqa: BLE001 # whatever a provider answers, this server goes on
            self._looked_at = self._clock.monotonic()
            _log.warning("keys of an identity provider cannot be read", extra={"issuer": self._name, "why": type(error).__name__})
            return False
        self._looked_at = self._good_at = self._clock.monotonic()
        if found != self._found:
            self._keys, self._found = keys, found
            self.version += 1
            _log.info("keys of an identity provider were read", extra={"issuer": self._name, "keys": len(keys)})
        return True

    async def _answer(self) -> Any:
        """Read on another thread. What takes longer is waited for in the next turn: such threads are few, and others need them."""
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(asyncio.to_thread(self._read), name=f"read keys of {self._name}")
        reading, ended = self._reading, asyncio.Event()
        reading.add_done_callback(lambda _: ended.set())
        if not await self._clock.wait(ended, _READ_WITHIN):
            raise TimeoutError
        self._reading = None
        return reading.result()

    def _usable(self, found: Any) -> Mapping[str | None, PyJWK]:
        if not isinstance(found, dict):
            raise ValueError("is no JSON object")  # noqa: TRY004 # it is what a provider has answered
        keys = [
            key
            for key in PyJWKSet.from_dict(cast("dict[str, Any]", found)).keys
            if key.algorithm_name in self._algorithms and key.public_key_use in (None, "sig")
        ]
        if not keys:
            raise ValueError("no key of an algorithm that is allowed")
        named: dict[str | None, PyJWK] = {key.key_id: key for key in keys if key.key_id}
        if len(keys) == 1:
            named[None] = keys[0]
        return named

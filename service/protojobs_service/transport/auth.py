"""Who calls, around every RPC: credentials in, principal out, and an end to streams whose credentials have ended."""

import asyncio
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from protojobs_service.application import Authentication, Clock, Proof
from protojobs_service.domain.access import ANONYMOUS, Principal
from protojobs_service.domain.errors import Unauthenticated
from protojobs_service.transport.call import Call, Context, Proceed
from protojobs_service.transport.caller import calling
from protojobs_service.transport.ending import ending
from protojobs_service.transport.permissions import OPEN

_LOOK_EVERY = 2.0
"""Seconds from one look at the credentials of open streams to the next: a revocation must end them within 5 s."""
_SCHEME = "bearer "


class OpenStreams:
    """Knows which streams, and calls that wait, go on under whose credentials; looks at all of them in one turn."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cuts: dict[Principal, set[Callable[[], None]]] = {}

    @contextmanager
    def cutting(self, principal: Principal, cut: Callable[[], None]) -> Generator[None]:
        """Call `cut` at each look that finds the credentials of `principal` ended, as long as the context lasts."""
        cuts = self._cuts.setdefault(principal, set())
        cuts.add(cut)
        try:
            yield
        finally:
            cuts.discard(cut)
            if not cuts and self._cuts.get(principal) is cuts:
                del self._cuts[principal]

    async def run(self, still_valid: Callable[[Principal], bool]) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(_LOOK_EVERY)
            self.look(still_valid)

    def look(self, still_valid: Callable[[Principal], bool]) -> None:
        """Cut everything whose credentials have ended."""
        for principal, cuts in list(self._cuts.items()):
            if not still_valid(principal):
                for cut in list(cuts):
                    cut()


@dataclass(slots=True)
class Authenticate:
    """Finds out who calls; without `authentication` everybody is anonymous."""

    authentication: Authentication | None
    streams: OpenStreams

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Run the call under its principal. Raises Unauthenticated, also where the credentials end before a stream does."""
        if self.authentication is None:
            call.principal = ANONYMOUS
            return await proceed(call)
        if call.rpc.path in OPEN:
            return await proceed(call)
        principal = call.principal = await self.authentication.principal(_proof(call.context))
        with calling(principal):
            if not (call.rpc.is_stream or call.rpc.waits):
                return await proceed(call)
            return await self._run_while_valid(principal, call, proceed)

    async def _run_while_valid(self, principal: Principal, call: Call, proceed: Proceed) -> Any:
        limit = asyncio.timeout(None)
        try:
            async with limit:
                with self.streams.cutting(principal, ending(limit)):
                    return await proceed(call)
        except TimeoutError:
            if limit.expired():
                raise Unauthenticated("the credentials have ended; come again with new ones") from None
            raise


def _proof(context: Context) -> Proof:
    """Return what came with a call. Raises Unauthenticated where it is ambiguous or of another scheme."""
    found: list[str | bytes] = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
    if not found:
        names = context.auth_context()
        return Proof(None, _texts(names.get("peer_uri", ())), _texts(names.get("peer_dns", ())))
    value = found[0]
    if len(found) > 1 or not isinstance(value, str) or value[: len(_SCHEME)].lower() != _SCHEME:
        raise Unauthenticated("authorization must be one: Bearer TOKEN")
    return Proof(value[len(_SCHEME) :].strip())


def _texts(values: Iterable[bytes]) -> Sequence[str]:
    return [value.decode("utf-8", "replace") for value in values]

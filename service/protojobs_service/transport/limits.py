"""What one caller may do: calls and bytes a second, streams and waits at once. What all may do together is for Admission to say.

A caller is a principal; those without credentials are told apart by where they call from. The counts are one server's own: behind
a balancer a caller may do as much at each server. Frames of a stream count like calls, once for each frame however many jobs it
carries; but a stream is never refused for them: its next frame is read later, so the caller feels it by flow control.
"""

import asyncio
import ipaddress
import time
from bisect import bisect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from math import ceil
from typing import Any, NamedTuple
from urllib.parse import unquote

from protojobs_service.application import Sender, working_for
from protojobs_service.domain.access import ANONYMOUS
from protojobs_service.domain.counting import counted
from protojobs_service.domain.errors import Overloaded
from protojobs_service.domain.queue_limits import Bucket, RateLimit, bucket_at, wait_us
from protojobs_service.domain.recent import Recent
from protojobs_service.transport.call import Call, Proceed
from protojobs_service.transport.caller import caller

MOST_METADATA = 16 * 1024
"""Bytes of the names and values of all metadata of a call."""
_MOST_CALLERS = 10_000
"""Callers whose buckets are remembered, about 300 bytes each. Who is forgotten begins again with full ones."""
_SIZES = (8 * 1024, 256 * 1024)
"""Bytes of unary calls: those up to the first, up to the second and above do not wait in one line. What comes by a stream does."""
_IPV6_NETWORK = 64
"""Bits that tell networks apart: whoever has one has all addresses in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a caller may do; None: as much as it likes. One message may be larger than what is left: the next ones wait for it."""

    calls: RateLimit | None = None
    bytes: RateLimit | None = None
    streams: int | None = None
    waits: int | None = None


class Origin(NamedTuple):
    """Where a call comes from: an IPv4 address or a network of IPv6. is_local: this machine."""

    name: str
    is_local: bool


class _Buckets(NamedTuple):
    calls: Bucket
    bytes: Bucket


class CallerLimits:
    """Refuses what one caller does too much of, before it costs anything; others do not notice.

    here: for callers without credentials from this machine. clock: seconds; sleep: waits for so many.
    """

    def __init__(
        self,
        allowed: Allowance,
        here: Allowance,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._allowed = allowed
        self._here = here
        self._clock = clock
        self._sleep = sleep
        self._buckets = Recent[str, _Buckets](_MOST_CALLERS)
        self._streams: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()
        self.refused = 0

    @property
    def callers(self) -> int:
        """Return how many callers are remembered."""
        return len(self._buckets)

    async def __call__(self, call: Call, proceed: Proceed) -> Any:
        """Run the call if its caller may make it. Raises Overloaded, which says when and names the limit."""
        # gRPC's own limit holds for peers only that have acknowledged it.
        if metadata_size(call) > MOST_METADATA:
            raise self._too_much("metadata", timedelta(seconds=1))
        if call.rpc.essential:
            return await proceed(call)
        name, allowance = self._judged(call)
        size = 0 if call.rpc.streams_in else len(call.request)
        if (wait := self._take(name, allowance, size)) is not None:
            raise self._too_much(*wait)
        if call.rpc.is_stream:
            with (
                self._one_of(self._streams, name, allowance.streams, "streams_per_caller"),
                working_for(Sender(name, id(call), is_stream=True)),
            ):
                return await proceed(self._paced(call, name, allowance))
        with working_for(Sender(name, bisect(_SIZES, size))):
            return await self._unary(call, proceed, name, allowance)

    async def _unary(self, call: Call, proceed: Proceed, name: str, allowance: Allowance) -> Any:
        if call.rpc.waits:
            with self._one_of(self._waiting, name, allowance.waits, "waits_per_caller"):
                return await proceed(call)
        return await proceed(call)

    @contextmanager
    def _one_of(self, counts: Counter[str], name: str, most: int | None, limit: str) -> Generator[None]:
        """Count one more as long as the context lasts. Raises Overloaded where the caller has so many."""
        if most is None:
            yield
            return
        if counts[name] >= most:
            raise self._too_much(limit, timedelta(seconds=1))
        with counted(counts, name):
            yield

    async def pace(self, name: str, allowance: Allowance, size: int) -> None:
        """Return once a frame of so many bytes may be taken."""
        while (wait := self._take(name, allowance, size)) is not None:
            await self._sleep(wait[1].total_seconds())

    def _judged(self, call: Call) -> tuple[str, Allowance]:
        """Return under which name the call counts, and by what."""
        is_here = caller().id == ANONYMOUS.id and origin_of(call.context.peer()).is_local
        return name_of(call), self._here if is_here else self._allowed

    def _paced(self, call: Call, name: str, allowance: Allowance) -> Call:
        if call.rpc.streams_in and (allowance.calls or allowance.bytes):
            call.request = _Frames(call.request, lambda size: self.pace(name, allowance, size))
        return call

    def _take(self, name: str, allowance: Allowance, size: int) -> tuple[str, timedelta] | None:
        """Count one message of so many bytes; where there is no room for it, return for which limit and how long."""
        if allowance.calls is None and allowance.bytes is None:
            return None
        now = int(self._clock() * 1e6)
        before = self._buckets.get(name)
        calls = _at(now, allowance.calls, before and before.calls)
        size_left = _at(now, allowance.bytes, before and before.bytes)
        if allowance.calls and not calls.leases:
            refused = ("rate", _span(calls, allowance.calls))
        elif allowance.bytes and not size_left.leases:
            refused = ("bytes_per_second", _span(size_left, allowance.bytes))
        else:
            refused, calls, size_left = None, calls.lease(1), size_left.lease(size)
        self._buckets[name] = _Buckets(calls, size_left)
        return refused

    def _too_much(self, limit: str, wait: timedelta) -> Overloaded:
        self.refused += 1
        return Overloaded(f"this caller is over its limit of {limit}", retry_after=wait, metadata={"limit": limit})


class _Frames:
    """Frames of a stream, each given when its caller may send it."""

    def __init__(self, frames: AsyncIterator[bytes], pace: Callable[[int], Awaitable[None]]) -> None:
        self._frames = aiter(frames)
        self._pace = pace

    def __aiter__(self) -> "_Frames":
        return self

    async def __anext__(self) -> bytes:
        frame = await anext(self._frames)
        await self._pace(len(frame))
        return frame


def metadata_size(call: Call) -> int:
    """Return the bytes of a call's metadata."""
    return sum(len(name) + len(value) for name, value in call.context.invocation_metadata() or ())


def name_of(call: Call) -> str:
    """Return who makes a call: the principal's id, for callers without credentials with where they call from."""
    principal = caller()
    return principal.id if principal.id != ANONYMOUS.id else f"{ANONYMOUS.id} {origin_of(call.context.peer()).name}"


@lru_cache(maxsize=4096)
def origin_of(peer: str) -> Origin:
    """Return where gRPC's name of a peer, or a bare address, is: `ipv4:192.0.2.1:4711`, `ipv6:%5B::1%5D:4711`, `unix:...`."""
    scheme, _, rest = unquote(peer).partition(":")
    if scheme.startswith("unix"):
        return Origin("unix", is_local=True)
    address = (rest.rpartition(":")[0] if scheme in {"ipv4", "ipv6"} else unquote(peer)).strip("[]")
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return Origin(address, is_local=False)
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if isinstance(found, ipaddress.IPv6Address) and not found.is_loopback:
        return Origin(str(ipaddress.ip_network((found, _IPV6_NETWORK), strict=False)), is_local=False)
    return Origin(str(found), is_local=found.is_loopback)


def _at(now: int, rate: RateLimit | None, before: Bucket | None) -> Bucket:
    return Bucket(0, now) if rate is None else bucket_at(now, rate, before)


def _span(bucket: Bucket, rate: RateLimit) -> timedelta:
    """Return how long the bucket stays empty, in whole milliseconds and never less."""
    return timedelta(milliseconds=ceil(wait_us(bucket, rate) / 1000))

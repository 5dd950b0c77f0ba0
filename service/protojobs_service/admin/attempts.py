"""How often somebody may try to log in."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from protojobs_service.admin.refusal import HttpRefusal
from protojobs_service.domain.recent import Recent

_MOST = 10
_SECONDS_EACH = 6.0
# Whoever comes from more addresses than these at once makes us forget the oldest, no more.
_MOST_PEERS = 10_000
# What one customer of a provider has, and can take addresses from at will.
_NETWORK_BITS = 64


@dataclass(slots=True)
class _Peer:
    left: float
    at: float


class Attempts:
    """Allows each peer 10 logins in a row, and then one each 6 s. clock: seconds that only rise."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._peers = Recent[str, _Peer](_MOST_PEERS)

    def take(self, host: str) -> None:
        """Count an attempt. Raises HttpRefusal (429)."""
        now, name = self._clock(), _network(host)
        peer = self._peers.get(name) or _Peer(_MOST, now)
        peer.left, peer.at = min(_MOST, peer.left + (now - peer.at) / _SECONDS_EACH), now
        self._peers[name] = peer
        if peer.left < 1:
            raise _too_often()
        peer.left -= 1


def _network(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return host
    return str(ipaddress.ip_network((address, _NETWORK_BITS), strict=False))


def _too_often() -> HttpRefusal:
    headers = {"retry-after": str(int(_SECONDS_EACH))}
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    return HttpRefusal(429, "too many attempts: wait a little", code=code, reason="OVERLOADED", headers=headers)

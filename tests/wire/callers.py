"""Callers of a server that asks for credentials: who they are is said by a token of an identity provider."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
from protojobs_service.compose import RunningServer, start_server
from protojobs_service.domain.access import Scope

from tests.identity import AUDIENCE, ISSUER, Key, key_file
from tests.wire.lease_worker import Service
from tests.wire.peer import Peer, connected, settings_for

KEY = Key()
"""One for all tests of a process: making it is what takes time."""

QUEUES = {"all": "*", "a": "a-*", "b": "b-*"}


def provider(keys: Path, **changes: Any) -> dict[str, Any]:
    """Return settings of a provider; a token whose roles name `SCOPE-all`, `SCOPE-a` or `SCOPE-b` has that grant."""
    grants = [
        {"claim": "roles", "value": f"{scope}-{name}", "scope": scope, "queues": queues}
        for scope in Scope
        for name, queues in QUEUES.items()
    ]
    return {"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": keys, "grants": grants, **changes}


def asking(tmp_path: Path, **settings: Any) -> dict[str, Any]:
    """Return settings of a server that asks every caller for a token of `KEY`."""
    keys = key_file(tmp_path / "keys.json", KEY)
    return {"auth": {"mode": "required", "oidc": [provider(keys)]}, **settings}


@asynccontextmanager
async def asking_server(tmp_path: Path, **settings: Any) -> AsyncIterator[Peer]:
    """Run such a server, over an empty memory store unless told otherwise, and a channel to it that says nothing."""
    chosen = settings_for(**asking(tmp_path, **settings))
    async with start_server(chosen) as server, connected(server) as peer:
        yield peer


def called(peer: Peer, name: str, *roles: str) -> Peer:
    """Return the peer as one that has these roles."""
    return bearing(peer, KEY.sign(sub=name, roles=list(roles)))


def bearing(peer: Peer, token: str) -> Peer:
    """Return the peer as one that sends this token."""
    return with_metadata(peer, ("authorization", f"Bearer {token}"))


def with_metadata(peer: Peer, *metadata: tuple[str, str]) -> Peer:
    """Return the peer as one that sends this with every call."""
    channel: Any = _Said(peer.channel, metadata)
    return Peer(server=peer.server, channel=channel)


def service_of(peer: Peer) -> Service:
    """Return the peer as workers that speak the wire themselves take it."""
    server: RunningServer = peer.server
    return Service(server.application, peer.channel, server.address)


class _Said:
    """A channel whose calls all carry some metadata."""

    def __init__(self, channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]) -> None:
        self._channel = channel
        self._metadata = metadata

    def __getattr__(self, arity: str) -> Any:
        def make(*args: Any, **kwargs: Any) -> Any:
            method = getattr(self._channel, arity)(*args, **kwargs)
            return lambda *request, **options: method(*request, metadata=self._metadata, **options)

        return make

"""The table of permissions, RPC by RPC and scope by scope, as callers meet it."""

import asyncio
from collections.abc import AsyncIterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, cast

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from protojobs import v1
from protojobs_service.domain.access import Scope
from protojobs_service.transport.permissions import OPEN, TABLE

from tests.wire.callers import asking_server, called
from tests.wire.peer import Peer, Refusal, to_refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

_MODULES = [import_module(f"protojobs.v1.{each.name}") for each in iter_modules(v1.__path__) if each.name.endswith("_pb2")]
METHODS = [method for each in _MODULES for service in each.DESCRIPTOR.services_by_name.values() for method in service.methods]


def _path(method: Any) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def peer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Peer]:
    """Speak to one server for all tests: nothing is stored by empty requests."""
    async with asking_server(tmp_path_factory.mktemp("keys")) as connection:
        yield connection


async def test_every_rpc_of_the_contract_has_a_row() -> None:
    assert len(METHODS) >= 42
    assert {_path(method) for method in METHODS} - TABLE.keys() == set()


async def test_every_row_is_of_an_rpc_and_lets_administrators_in() -> None:
    known = {_path(method) for method in METHODS}

    assert {path for path in TABLE if path.startswith("/protojobs.")} - known == set()
    assert [path for path, row in TABLE.items() if row.scopes is not None and Scope.ADMIN not in row.scopes] == []
    assert [path for path, row in TABLE.items() if row.texts is not None and not row.texts <= (row.scopes or set())] == []
    assert [path for path in OPEN if not path.startswith("/grpc.health.")] == []


async def _call(peer: Peer, method: Any) -> Refusal | None:
    """Call an RPC with an empty request; returns how it was refused, None where it was not within its first answer."""
    channel: Any = peer.channel
    try:
        async with asyncio.timeout(10):
            if method.client_streaming:
                call = channel.stream_stream(_path(method))()
                await call.write(b"")
                await call.done_writing()
                await call.read()
                if call.done() and await call.code() is not grpc.StatusCode.OK:
                    await call.read()
            elif method.server_streaming:
                call = channel.unary_stream(_path(method))(b"")
                await call.read()
                call.cancel()
            else:
                await channel.unary_unary(_path(method))(b"")
    except grpc.aio.AioRpcError as error:
        return to_refusal(error)
    return None


@pytest.mark.parametrize("scope", [*Scope, None])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
async def test_a_scope_opens_the_rpcs_of_its_rows_and_no_other(peer: Peer, method: Any, scope: Scope | None) -> None:
    row = TABLE[_path(method)]
    roles = [] if scope is None else [f"{scope}-all"]

    refusal = await _call(called(peer, "somebody", *roles), method)

    if row.scopes is None or scope in row.scopes:
        assert refusal is None or refusal.reason not in ("PERMISSION_DENIED", "UNAUTHENTICATED")
    else:
        assert refusal is not None
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
        assert refusal.message.startswith("needs scope ")


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
async def test_no_rpc_answers_whom_it_does_not_know(peer: Peer, method: Any) -> None:
    refusal = await _call(peer, method)

    assert refusal is not None
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


async def test_an_rpc_without_a_row_is_refused(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    [method] = [each for each in METHODS if each.name == "GetServerInfo"]
    monkeypatch.delitem(cast(dict[str, Any], TABLE), _path(method))

    refusal = await _call(called(peer, "root", "admin-all"), method)

    assert refusal is not None
    assert refusal.reason == "PERMISSION_DENIED"

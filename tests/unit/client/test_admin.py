"""Tokens made through the client: told once, and never lost on the way."""

from datetime import timedelta

import pytest
from protojobs_client import AsyncClient, Client, Grant, Scope
from protojobs_client.errors import TokenExistsError, UnsupportedError
from protojobs_client.testing import FakeAsyncClient

from tests.unit.client.fake import FakeServer

WORKER = [Grant(Scope.WORKER, "mail.*"), Grant(Scope.OBSERVER)]


@pytest.mark.asyncio
async def test_a_token_is_made_as_asked_for_and_its_secret_kept_out_of_sight(client: AsyncClient, server: FakeServer) -> None:
    made = await client.admin.create_token("mailer", WORKER, timedelta(days=90))

    [request] = server.admin.made
    assert (request.name, request.ttl.seconds, len(request.token_id)) == ("mailer", 90 * 86_400, 16)
    assert made.token.grants == (Grant(Scope.WORKER, "mail.*"), Grant(Scope.OBSERVER))
    assert made.secret == f"pj_{request.token_id}_secret"
    assert made.secret not in repr(made)


@pytest.mark.asyncio
async def test_a_token_whose_secret_was_lost_is_revoked_and_another_one_made(client: AsyncClient, server: FakeServer) -> None:
    server.admin.lost = 1

    made = await client.admin.create_token("mailer", WORKER, 3600)

    first, second = (each.token_id for each in server.admin.made)
    assert server.admin.revoked == [first]
    assert made.token.token_id == second != first


@pytest.mark.asyncio
async def test_whoever_names_the_id_hears_that_the_token_exists(client: AsyncClient, server: FakeServer) -> None:
    server.admin.lost = 1

    with pytest.raises(TokenExistsError):
        await client.admin.create_token("mailer", WORKER, 3600, token_id="00000000000000aa")

    assert server.admin.revoked == []


def test_callers_without_an_event_loop_administrate_too(blocking_client: Client, far_server: FakeServer) -> None:
    made = blocking_client.admin.create_token("mailer", WORKER, 3600)

    assert made.token.token_id == far_server.admin.made[0].token_id
    assert blocking_client.admin is blocking_client.admin


@pytest.mark.asyncio
async def test_a_fake_client_has_no_administration() -> None:
    with pytest.raises(UnsupportedError):
        await FakeAsyncClient().admin.caller()

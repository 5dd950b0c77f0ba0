"""Tokens and the audit log, for admins."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from protojobs.v1 import admin_service_pb2, admin_service_pb2_grpc

from tests.console.site import OBSERVER, OneVisitor, Site, serving
from tests.console.test_pages import failed_job

pytestmark = pytest.mark.asyncio

NAME = "deploy-bot"


@pytest_asyncio.fixture
async def token(site: Site) -> AsyncIterator[str]:
    """Make a token; gives its id."""
    stub = admin_service_pb2_grpc.AdminServiceStub(site.peer.channel)
    grant = admin_service_pb2.Grant(scope=admin_service_pb2.SCOPE_PRODUCER, queues="mail-*")
    made = await stub.CreateToken(admin_service_pb2.CreateTokenRequest(name=NAME, grants=[grant], ttl=Duration(seconds=3600)))
    yield made.token.token_id


async def test_tokens_are_listed_with_what_they_may_and_without_their_secret(site: Site, token: str) -> None:
    page = await site.page("/tokens")

    assert token in page.text
    assert NAME in page.text
    assert "producer on mail-*" in page.text
    assert "pj_" not in page.source


async def test_a_token_is_revoked(site: Site, token: str) -> None:
    page = await site.send(f"/tokens/{token}/revoke")

    assert "The token is revoked." in page.text
    assert page.actions == []


async def test_what_the_console_did_is_in_the_audit_log(site: Site) -> None:
    await site.send("/queues/emails/pause")

    page = await site.page("/audit?rpc=protojobs.v1.QueueService/PauseQueue")

    assert "QueueService/PauseQueue" in page.text
    assert page.named("a", href="/queues/emails")


async def test_a_line_of_the_audit_log_leads_to_its_job(site: Site) -> None:
    [job_id] = await site.service.dispatch()
    await site.send(f"/jobs/{job_id}/cancel")

    page = await site.page("/audit")

    assert page.named("a", href=f"/jobs/{job_id}")


async def test_the_page_of_tokens_says_how_one_is_made(site: Site) -> None:
    assert "protojobs tokens create" in (await site.page("/tokens")).text


async def test_an_observer_sees_states_and_no_payload_result_or_text_of_an_error(tmp_path: Path) -> None:
    async with serving(tmp_path, visitor=OneVisitor(OBSERVER)) as site:
        job_id = await failed_job(site, message="card 4111 refused", payload=b'{"card": 4111}')

        pages = [await site.page(path) for path in ("/jobs?state=failed", f"/jobs/{job_id}", f"/jobs/{job_id}/edit")]

    assert all("failed" in page.text for page in pages[:2])
    assert all("4111" not in page.source for page in pages)
    assert all("ConnectionError" not in page.source for page in pages)


async def test_only_admins_are_led_to_both(tmp_path: Path) -> None:
    async with serving(tmp_path, visitor=OneVisitor(OBSERVER)) as site:
        page = await site.page("/")

    assert not page.named("a", href="/tokens")
    assert not page.named("a", href="/audit")

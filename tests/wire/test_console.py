"""The console and the calls as JSON of a server that asks for credentials, with its own tokens and its own audit log."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from protojobs_service.application import AuditQuery
from protojobs_service.compose import RunningServer, start_server
from protojobs_service.domain.access import Grant, Scope

from tests.schema import make_sqlite
from tests.wire.peer import settings_for

pytestmark = pytest.mark.asyncio

GRANTS = [Grant(Scope.OPERATOR, "mail")]


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    """Run a server that asks for credentials."""
    settings = settings_for(driver="sqlite", sqlite={"path": tmp_path / "jobs.db"}, auth={"mode": "required"})
    make_sqlite(tmp_path / "jobs.db")
    async with start_server(settings) as running:
        yield running


@pytest_asyncio.fixture
async def browser(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    """Look at the console; every request says that a page of ours sends it."""
    place = f"http://{server.admin_address}"
    async with httpx.AsyncClient(base_url=place, headers={"origin": place}) as client:
        yield client


async def _token(server: RunningServer) -> tuple[str, str]:
    """Return the id and the text of a new token of an operator."""
    made = await server.application.tokens.create("ann", GRANTS, timedelta(hours=1), created_by="test")
    return made.token.id, made.text


async def _post(browser: httpx.AsyncClient, page: str, path: str, **fields: str) -> httpx.Response:
    """Send a form with the CSRF token of a page."""
    csrf = (await browser.get(page)).text.partition('name="csrf" value="')[2].partition('"')[0]
    return await browser.post(path, data={"csrf": csrf, **fields})


async def _audited(server: RunningServer) -> list[tuple[str, str, str, str]]:
    records = await server.application.audit.page(AuditQuery(limit=50))
    return [(each.record.via, each.record.rpc, each.record.principal, each.record.outcome) for each in records]


async def test_a_session_lasts_from_login_to_logout_and_both_are_audited(server: RunningServer, browser: httpx.AsyncClient) -> None:
    token_id, text = await _token(server)

    login = await _post(browser, "/login", "/login", token=text)
    session = browser.cookies["pj"]
    inside = await browser.get("/")
    logout = await _post(browser, "/", "/logout")
    async with httpx.AsyncClient(base_url=browser.base_url, cookies={"pj": session}) as thief:
        stolen = await thief.get("/")

    assert (login.status_code, inside.status_code, logout.status_code) == (303, 200, 303)
    assert "ann" in inside.text
    assert session not in {text, ""}
    assert (stolen.status_code, stolen.headers["location"]) == (303, "/login")
    audited = await _audited(server)
    assert ("console", "console/login", f"token:{token_id}", "OK") in audited
    assert ("console", "console/logout", f"token:{token_id}", "OK") in audited


async def test_what_is_forged_is_refused_and_audited(server: RunningServer, browser: httpx.AsyncClient) -> None:
    forged = "pj_0123456789abcdef_" + "0" * 64

    answer = await browser.get("/", headers={"cookie": f"pj={forged}"})
    await server.application.audit.finish()

    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert await _audited(server) == [("console", "protojobs.v1.AdminService/GetCaller", "", "UNAUTHENTICATED")]


async def test_a_session_ends_with_the_token_that_opened_it(server: RunningServer, browser: httpx.AsyncClient) -> None:
    token_id, text = await _token(server)
    await _post(browser, "/login", "/login", token=text)

    await server.application.tokens.revoke(token_id)

    assert (await browser.get("/")).headers["location"] == "/login"


async def test_a_session_opens_no_other_session(server: RunningServer, browser: httpx.AsyncClient) -> None:
    _, text = await _token(server)
    await _post(browser, "/login", "/login", token=text)
    session = browser.cookies["pj"]
    browser.cookies.clear()

    again = await _post(browser, "/login", "/login", token=session)

    assert again.status_code == 403


async def test_calls_as_json_are_judged_as_over_grpc(server: RunningServer, browser: httpx.AsyncClient) -> None:
    _, text = await _token(server)
    body = {"filter.queues": "mail"}

    nobody = await browser.get("/v1/jobs", params=body)
    forged = await browser.get("/v1/jobs", params=body, headers={"authorization": "Bearer pj_x"})
    allowed = await browser.get("/v1/jobs", params=body, headers={"authorization": f"Bearer {text}"})
    dispatch = {"spec": {"queue": "other", "kind": "a"}}
    foreign = await browser.post("/v1/jobs:dispatch", json=dispatch, headers={"authorization": f"Bearer {text}"})

    assert [each.status_code for each in (nobody, forged, allowed, foreign)] == [401, 401, 200, 403]
    assert nobody.headers["www-authenticate"] == 'Bearer realm="protojobs"'
    assert foreign.json()["details"][0]["reason"] == "PERMISSION_DENIED"

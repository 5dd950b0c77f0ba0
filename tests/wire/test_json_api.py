"""Calls as JSON over HTTP, against running servers."""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio
from protojobs_service.admin import connection
from protojobs_service.compose import RunningServer, start_server

from tests.wire.peer import settings_for, until

pytestmark = pytest.mark.asyncio

SESSION = base64.b64encode(b"0123456789abcdef").decode()


@asynccontextmanager
async def _http(server: RunningServer) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{server.admin_address}", timeout=30) as client:
        yield client


@pytest_asyncio.fixture
async def http(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    """Speak to the server over HTTP."""
    async with _http(server) as client:
        yield client


async def _said(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def _acquire(seq: int, *, queue: str = "mail", wait: str = "0s") -> dict[str, Any]:
    return {"sessionId": SESSION, "acquireSeq": seq, "worker": "w", "queues": [{"name": queue}], "max": 5, "wait": wait}


async def test_a_job_goes_from_dispatch_to_its_result(http: httpx.AsyncClient) -> None:
    spec = {"queue": "mail", "kind": "welcome", "json": {"to": "é"}, "resultRetention": "60s"}
    made = await _said(await http.post("/v1/jobs:dispatch", json={"spec": spec}))
    job_id = made["jobId"]
    leased = await _said(await http.post("/v1/leases:acquire", json=_acquire(1)))
    held = {"jobId": job_id, "attempt": 1}
    extended = await _said(await http.post("/v1/leases:extend", json={"sessionId": SESSION, "held": [{**held, "started": True}]}))
    item = {**held, "complete": {"result": base64.b64encode(b"done").decode()}}
    settled = await _said(await http.post("/v1/leases:settle", json={"sessionId": SESSION, "settle": {"items": [item]}}))
    job = (await _said(await http.get(f"/v1/jobs/{job_id}", params={"view": "JOB_VIEW_FULL"})))["job"]

    assert (made["outcome"], made["state"]) == ("DISPATCH_OUTCOME_CREATED", "JOB_STATE_PENDING")
    assert [(each["jobId"], each["attempt"]) for each in leased["leases"]] == [(job_id, 1)]
    assert base64.b64decode(leased["leases"][0]["spec"]["payload"]) == '{"to":"é"}'.encode()
    assert "lost" not in extended
    assert [each["code"] for each in settled["settled"]["groups"]] == ["SETTLE_CODE_OK"]
    assert (job["state"], base64.b64decode(job["result"])) == ("JOB_STATE_COMPLETED", b"done")


async def test_each_item_of_a_batch_has_its_own_result(http: httpx.AsyncClient) -> None:
    specs = [{"kind": "a"}, {"kind": "a b"}]

    results = (await _said(await http.post("/v1/jobs:dispatchBatch", json={"specs": specs})))["results"]

    assert results[0]["outcome"] == "DISPATCH_OUTCOME_CREATED"
    assert results[1]["error"]["code"] == 3
    assert results[1]["error"]["details"][0]["reason"] == "INVALID_FIELD"


async def test_lists_are_paged_and_chosen_by_the_query(http: httpx.AsyncClient) -> None:
    for team in "aab":
        spec = {"queue": "mail", "kind": "k", "labels": {"team.x": team}}
        await _said(await http.post("/v1/jobs:dispatch", json={"spec": spec}))
    chosen: dict[str, Any] = {
        "filter.queues": ["mail", "other"],
        "filter.labels.team.x": "a",
        "filter.states": "JOB_STATE_PENDING",
        "page_size": 1,
    }

    first = await _said(await http.get("/v1/jobs", params=chosen))
    second = await _said(await http.get("/v1/jobs", params={**chosen, "pageToken": first["nextPageToken"]}))
    stats = await _said(await http.get("/v1/stats", params={"queue": "mail"}))

    assert {page["jobs"][0]["spec"]["labels"]["team.x"] for page in (first, second)} == {"a"}
    assert first["jobs"][0]["id"] != second["jobs"][0]["id"]
    assert stats["queues"][0]["counts"] == {"pending": "3"}


async def test_jobs_are_cancelled_and_retried_by_their_path(http: httpx.AsyncClient) -> None:
    job_id = (await _said(await http.post("/v1/jobs:dispatch", json={"spec": {"kind": "a"}})))["jobId"]

    cancelled = await _said(await http.post(f"/v1/jobs/{job_id}:cancel"))
    retried = await _said(await http.post(f"/v1/jobs/{job_id}:retry", json={"payload": "e30="}))

    assert (cancelled["state"], retried["state"]) == ("JOB_STATE_CANCELLED", "JOB_STATE_PENDING")


@pytest.mark.parametrize("store", ["memory"])
@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("GET", "/v1/jobs/01999999-0000-7000-8000-000000000000", None, 404, "job"),
        ("GET", "/v1/jobs/x", None, 400, "job_id"),
        ("GET", "/v1/jobs/%00", None, 400, "job_id"),
        ("GET", "/v1/jobs?pageSize=501", None, 400, "page_size"),
        ("GET", "/v1/jobs?pageSize=1&page_size=2", None, 400, "page_size: is given twice"),
        ("GET", "/v1/jobs?pageSize=x", None, 400, "page_size: must be a whole number"),
        ("GET", "/v1/jobs?filter=x", None, 400, "filter: must be an object"),
        ("GET", "/v1/jobs?filter=x&filter.queues=y", None, 400, "filter.queues: must be an object"),
        ("GET", "/v1/jobs?filter.queues.x=y", None, 400, "filter.queues.x: is not a field here"),
        ("GET", "/v1/jobs?filter.nope=y", None, 400, "filter.nope: is not a field here"),
        ("GET", "/v1/jobs?filter.labels.a=1&filter.labels.a=2", None, 400, "filter.labels.a: is given twice"),
        ("GET", "/v1/jobs/x?jobId=y", None, 400, "job_id: is given by the path"),
        ("GET", "/v1/stats?timeout=5", None, 400, "timeout: is not a span"),
        ("GET", "/v1/stats?timeout=5s&timeout=6s", None, 400, "timeout: is given twice"),
        ("POST", "/v1/jobs:dispatch", b"{", 400, "not JSON"),
        ("POST", "/v1/jobs:dispatch", b"", 400, "spec"),
        ("POST", "/v1/jobs:dispatch?kind=a", b"{}", 400, "kind: belongs into the body"),
        ("POST", "/v1/jobs/x:cancel", b'{"job_id": "y"}', 400, "job_id: is given by the path"),
        ("POST", "/v1/jobs", b"{}", 405, "Method Not Allowed"),
        ("DELETE", "/v1/jobs/x", None, 405, "Method Not Allowed"),
        ("GET", "/v1/nothing", None, 404, "no such endpoint"),
    ],
)
async def test_refusals_are_statuses(
    http: httpx.AsyncClient, method: str, path: str, body: bytes | None, status: int, message: str
) -> None:
    answer = await http.request(method, path, content=body, headers={"content-type": "application/json"}, follow_redirects=True)

    assert (answer.status_code, message in answer.json()["message"]) == (status, True), answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("store", ["memory"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"host": "evil.example"}, 421),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": ""}, 415),
        ({"content-encoding": "gzip", "content-type": "application/json"}, 200),
        ({"content-type": "Application/JSON; charset=utf-8"}, 200),
        ({"sec-fetch-site": "none"}, 200),
    ],
)
async def test_what_pages_of_others_can_send_is_refused(http: httpx.AsyncClient, headers: dict[str, str], status: int) -> None:
    sent = {"content-type": "application/json", **headers}

    answer = await http.post("/v1/jobs:dispatch", content=b'{"spec": {"kind": "a"}, "validateOnly": true}', headers=sent)

    assert answer.status_code == status, (answer.text, answer.headers, answer.request.headers)


@pytest.mark.parametrize("store", ["memory"])
async def test_a_body_that_is_too_large_is_refused(http: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    announced = await http.post("/v1/jobs:dispatch", content=b" " * (4 * 1024 * 1024 + 1))
    try:
        streamed = (await http.post("/v1/jobs:dispatch", content=endless())).status_code
    except httpx.TransportError:  # the server has hung up while we were still sending
        streamed = 413

    assert (announced.status_code, announced.json()["code"], streamed) == (413, 8, 413)
    assert (await http.get("/v1/stats")).status_code == 200


@pytest.mark.parametrize("store", ["memory"])
async def test_large_messages_pass_both_ways(http: httpx.AsyncClient) -> None:
    payload = "x" * 1_000_000

    made = await _said(await http.post("/v1/jobs:dispatch", json={"spec": {"kind": "a", "json": payload}}))
    job = await _said(await http.get(f"/v1/jobs/{made['jobId']}?view=JOB_VIEW_FULL"))

    assert base64.b64decode(job["job"]["spec"]["payload"]) == f'"{payload}"'.encode()


@pytest.mark.parametrize("store", ["memory"])
@pytest.mark.parametrize(("path", "headers"), [("?timeout=0.05s", {}), ("", {"grpc-timeout": "50m"})])
async def test_a_deadline_of_the_caller_ends_its_call(http: httpx.AsyncClient, path: str, headers: dict[str, str]) -> None:
    answer = await http.post(f"/v1/leases:acquire{path}", json=_acquire(1, wait="20s"), headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (504, 4)


@pytest.mark.parametrize("store", ["memory"])
async def test_a_caller_that_hangs_up_ends_its_call(server: RunningServer, http: httpx.AsyncClient) -> None:
    waiting = asyncio.create_task(http.post("/v1/leases:acquire", json=_acquire(1, wait="20s")))
    await _calls(server, 1)

    waiting.cancel()

    await _calls(server, 0)


@pytest.mark.parametrize("store", ["memory"])
async def test_the_id_of_a_request_is_in_its_answer(http: httpx.AsyncClient) -> None:
    well = await http.get("/v1/stats", headers={"x-request-id": "abc"})
    badly = await http.get("/v1/jobs/x", headers={"x-request-id": "abd"})
    none = await http.get("/v1/stats")

    assert [each.headers["x-request-id"] for each in (well, badly)] == ["abc", "abd"]
    assert len(none.headers["x-request-id"]) == 16


async def test_who_is_too_many_is_told_when_to_come_again() -> None:
    async with start_server(settings_for(limits={"max_streams": 1})) as server, _http(server) as http:
        waiting = asyncio.create_task(http.post("/v1/leases:acquire", json=_acquire(1, wait="20s")))
        await _calls(server, 1)

        refused = await http.post("/v1/leases:acquire", json=_acquire(2, wait="20s"))

        waiting.cancel()
        assert (refused.status_code, refused.json()["details"][0]["reason"]) == (429, "OVERLOADED")
        assert int(refused.headers["retry-after"]) >= 1


async def _calls(server: RunningServer, count: int) -> None:
    """Wait until so many calls wait for something to happen."""

    async def look() -> int:
        return server.grpc.admission.waiting

    await until(look, lambda calls: calls == count)


async def _raw(server: RunningServer, head: bytes) -> bytes:
    """Send bytes and return what comes until the server hangs up."""
    host, _, port = server.admin_address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head)
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("store", ["memory"])
@pytest.mark.parametrize(
    "head", [b"", b"GET /v1/stats HTTP/1.1\r\nhost: local", b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\nGET"]
)
async def test_a_head_that_does_not_arrive_ends_the_connection(
    server: RunningServer, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.1)

    answer = await _raw(server, head)

    assert answer.count(b"HTTP/1.1 ") == head.count(b"\r\n\r\n")


@pytest.mark.parametrize("store", ["memory"])
async def test_a_call_may_take_longer_than_a_head(
    server: RunningServer, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.05)

    answer = await http.post("/v1/leases:acquire?timeout=0.3s", json=_acquire(1, wait="20s"))

    assert answer.status_code == 504


@pytest.mark.parametrize("store", ["memory"])
async def test_heads_are_bounded(server: RunningServer) -> None:
    answer = await _raw(server, b"GET /v1/stats HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 70_000)

    assert answer.startswith(b"HTTP/1.1 4")


async def test_the_console_can_be_left_out_and_the_calls_stay() -> None:
    async with start_server(settings_for(console={"enabled": False})) as server, _http(server) as http:
        answers = [await http.get("/"), await http.get("/login"), await http.get("/v1/stats"), await http.get("/livez")]

    assert [each.status_code for each in answers] == [404, 404, 200, 200]

"""Calls as JSON at a server that asks for credentials."""

from typing import Any

import httpx
import pytest
from protojobs.v1 import admin_service_pb2, job_service_pb2
from protojobs_service.admin.body import Intake
from protojobs_service.admin.json_api import JsonApi
from protojobs_service.transport.call import Call, Proceed
from protojobs_service.transport.interceptors import Errors
from protojobs_service.transport.local import LocalCalls
from protojobs_service.transport.procedures import procedures
from starlette.applications import Starlette

from tests.unit.admin.stand import TOKEN, FakeTokens, GetCaller

pytestmark = pytest.mark.asyncio

LARGE = 100_000


class Jobs:
    """Retries whatever it is asked to."""

    async def Retry(self, _request: Any, _context: Any) -> job_service_pb2.RetryResponse:  # noqa: N802 # the RPC's name
        return job_service_pb2.RetryResponse(already=True)


class Api:
    """The calls over HTTP. heard: the metadata of each call that came, and from where."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, Any], str]] = []
        self.tokens = FakeTokens()
        made: dict[str, Any] = {}
        services = [(job_service_pb2, "JobService", Jobs()), (admin_service_pb2, "AdminService", GetCaller())]
        for module, name, servicer in services:
            service = module.DESCRIPTOR.services_by_name[name]
            run = procedures(service, servicer, (Errors("1"), self._listen, self.tokens.authenticate))
            made |= {each.rpc.path: each for each in run.values()}
        app = Starlette(routes=[JsonApi(LocalCalls(made), Intake(2 * LARGE, most_at_once=4 * LARGE), None).mount()])
        transport = httpx.ASGITransport(app=app, client=("2001:db8::1", 4711))
        self.http = httpx.AsyncClient(transport=transport, base_url="http://any-name:8080")

    async def _listen(self, call: Call, proceed: Proceed) -> Any:
        self.heard.append((dict(call.context.invocation_metadata() or ()), call.context.peer()))
        return await proceed(call)

    async def retry(self, content: Any = b"", **headers: str) -> httpx.Response:
        """Retry a job, with this body."""
        return await self.http.post("/v1/jobs/x:retry", content=content, headers={"content-type": "application/json", **headers})


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer x", f"Bearer {TOKEN}x", f"Basic {TOKEN}"])
async def test_who_proves_nothing_is_told_how(given: str | None) -> None:
    answer = await Api().retry(**({} if given is None else {"authorization": given}))

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="protojobs"')
    assert (answer.json()["code"], answer.json()["details"][0]["reason"]) == (16, "UNAUTHENTICATED")


async def test_credentials_ids_and_the_trace_go_with_the_call() -> None:
    api = Api()
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    answer = await api.retry(**{"authorization": f"Bearer {TOKEN}", "x-request-id": "abc", "traceparent": parent, "x-other": "y"})

    assert (answer.status_code, answer.json()) == (200, {"already": True})
    sent = {"authorization": f"Bearer {TOKEN}", "x-request-id": "abc", "traceparent": parent, "x-protojobs-via": "http"}
    assert api.heard == [(sent, "ipv6:[2001:db8::1]:4711")]


@pytest.mark.parametrize("announced", [True, False])
async def test_nothing_large_is_read_of_strangers(announced: bool) -> None:
    api, read = Api(), list[int]()

    async def pieces() -> Any:
        for place in range(LARGE // 1000):
            read.append(place)
            yield b" " * 1000

    headers = {"content-length": str(LARGE)} if announced else {}
    answer = await api.retry(pieces(), **headers)

    assert (answer.status_code, read) == (401, [])


async def test_what_is_large_of_those_who_are_known_is_read() -> None:
    api = Api()

    answer = await api.retry(b" " * LARGE + b"{}", authorization=f"Bearer {TOKEN}")

    assert answer.status_code == 200
    assert len(api.heard) == 2


async def test_any_host_name_will_do_where_everybody_is_asked() -> None:
    answer = await Api().retry(authorization=f"Bearer {TOKEN}", host="protojobs.jobs.svc")

    assert answer.status_code == 200

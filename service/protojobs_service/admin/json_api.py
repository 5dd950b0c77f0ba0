"""Calls as JSON over HTTP, for those who have `curl` and no gRPC: the same procedures, credentials, limits and errors.

docs/how-to/curl.md tells how it is used.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from protojobs.v1 import admin_service_pb2, job_service_pb2, queue_service_pb2, worker_service_pb2
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router

from protojobs_service.admin.body import Intake
from protojobs_service.admin.hosts import Hosts, check_origin
from protojobs_service.admin.json_request import message_of_body, message_of_query
from protojobs_service.admin.json_text import render_json
from protojobs_service.admin.json_write import write_message
from protojobs_service.admin.patience import bounded, deadline_of
from protojobs_service.admin.refusal import HttpRefusal, http_status
from protojobs_service.admin.within import REQUEST_ID, metadata_of, peer_of, request_id_of
from protojobs_service.transport.local import LocalCalls, Metadata, Refused
from protojobs_service.transport.status import to_status

PREFIX: Final = "/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A call by HTTP. path: below /v1; what stands in braces is a field of the request."""

    method: str
    path: str
    rpc: str
    request: type[Message]
    answer: type[Message]


def _endpoint(line: str, module: Any, rpc: str) -> Endpoint:
    method, path = line.split()
    [service] = module.DESCRIPTOR.services_by_name.values()
    found = service.methods_by_name[rpc]
    kinds = GetMessageClass(found.input_type), GetMessageClass(found.output_type)
    return Endpoint(method=method, path=path, rpc=f"{service.full_name}/{rpc}", request=kinds[0], answer=kinds[1])


ENDPOINTS: Final = (
    _endpoint("POST /jobs:dispatch", job_service_pb2, "Dispatch"),
    _endpoint("POST /jobs:dispatchBatch", job_service_pb2, "DispatchBatch"),
    _endpoint("GET /jobs", job_service_pb2, "ListJobs"),
    _endpoint("GET /jobs/{job_id}", job_service_pb2, "GetJob"),
    _endpoint("POST /jobs/{job_id}:retry", job_service_pb2, "Retry"),
    _endpoint("POST /jobs/{job_id}:cancel", job_service_pb2, "Cancel"),
    _endpoint("GET /stats", queue_service_pb2, "Stats"),
    _endpoint("POST /leases:acquire", worker_service_pb2, "AcquireLeases"),
    _endpoint("POST /leases:settle", worker_service_pb2, "SettleLeases"),
    _endpoint("POST /leases:extend", worker_service_pb2, "ExtendLeases"),
)
_GET_CALLER: Final = _endpoint("GET /caller", admin_service_pb2, "GetCaller")

# For more than this it is worth to ask first who sends it, and to leave the event loop to others meanwhile.
_SMALL_BYTES = 64 * 1024
_CLIENT_GONE = 499  # nobody reads it


class JsonApi:
    """Serves ENDPOINTS. hosts: names to be reached by, where nobody is asked for credentials: then any page could call us."""

    def __init__(self, local: LocalCalls, intake: Intake, hosts: Hosts | None) -> None:
        self._local = local
        self._intake = intake
        self._hosts = hosts

    def mount(self) -> Mount:
        """Return the routes below /v1. Whatever ends otherwise than well is a google.rpc.Status in JSON."""
        routes = [Route(each.path, self._serving(each), methods=[each.method]) for each in ENDPOINTS]
        return Mount(PREFIX, ExceptionMiddleware(Router(routes), handlers={HTTPException: _no_endpoint, Exception: _failed}))

    def _serving(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            self._check(request)
            seconds = deadline_of(request)
            metadata, peer = _metadata(request), peer_of(request)
            message = await self._message(endpoint, request, metadata)
            call = self._local.call(endpoint.rpc, message, endpoint.answer, metadata=metadata, peer=peer)
            answer = await bounded(request, seconds, call)
            render = partial(_answer_well, request, answer)
            return await asyncio.to_thread(render) if answer.ByteSize() > _SMALL_BYTES else render()

        return serve

    def _check(self, request: Request) -> None:
        if self._hosts is not None:
            self._hosts.check(request)
        check_origin(request, from_page=False)

    async def _message(self, endpoint: Endpoint, request: Request, metadata: Metadata) -> Message:
        if endpoint.method == "GET":
            return message_of_query(request, endpoint.request)
        announced = request.headers.get("content-length", "")
        if not announced.isdecimal() or int(announced) > _SMALL_BYTES:
            caller = _GET_CALLER
            await self._local.call(caller.rpc, caller.request(), caller.answer, metadata=metadata, peer=peer_of(request))
        body = await self._intake.read(request)
        read = partial(message_of_body, request, body, endpoint.request)
        return await asyncio.to_thread(read) if len(body) > _SMALL_BYTES else read()


def _answer_well(request: Request, answer: Message) -> Response:
    return _answer(request, 200, write_message(answer))


def _metadata(request: Request) -> Metadata:
    authorization = request.headers.get("authorization")
    return metadata_of(request.headers, via="http", authorization=authorization, request_id=_request_id(request))


def _request_id(request: Request) -> str:
    """Return the id of the request, the same each time."""
    state = request.state
    if not hasattr(state, "request_id"):
        state.request_id = request_id_of(request.headers)
    request_id: str = state.request_id
    return request_id


async def _no_endpoint(request: Request, error: Exception) -> Response:
    """Answer where no endpoint is, or not for this method."""
    known = error if isinstance(error, HTTPException) else HTTPException(500)
    code = grpc.StatusCode.UNIMPLEMENTED if known.status_code == 405 else grpc.StatusCode.NOT_FOUND
    status = Status(code=code.value[0], message=f"no such endpoint: {known.detail}")
    return _answer(request, known.status_code, write_message(status), known.headers)


async def _failed(request: Request, error: Exception) -> Response:
    match error:
        case HttpRefusal():
            return _answer(request, error.status_code, write_message(error.status), error.headers)
        case ClientDisconnect():
            return Response(status_code=_CLIENT_GONE)
        case _:
            status = error.status if isinstance(error, Refused) else to_status(error)
            return _answer(request, http_status(status), write_message(status), _hints(status))


def _hints(status: Status) -> dict[str, str]:
    """Return what HTTP has headers for."""
    hints: dict[str, str] = {}
    if status.code == grpc.StatusCode.UNAUTHENTICATED.value[0]:
        hints["www-authenticate"] = 'Bearer realm="protojobs"'
    for detail in status.details:
        retry = RetryInfo()
        if detail.Unpack(retry):
            hints["retry-after"] = str(max(1, math.ceil(retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9)))
    return hints


def _answer(request: Request, status_code: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    own = {REQUEST_ID: _request_id(request), "cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(render_json(value) + b"\n", status_code, {**own, **(headers or {})}, media_type="application/json")

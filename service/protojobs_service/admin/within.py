"""How a request over HTTP becomes a call within the process."""

from collections.abc import Mapping
from typing import Final

from starlette.requests import HTTPConnection

from protojobs_service.telemetry import new_request_id
from protojobs_service.transport.audit import VIA_KEY
from protojobs_service.transport.local import Metadata

REQUEST_ID: Final = "x-request-id"

_MAX_REQUEST_ID = 64


def metadata_of(headers: Mapping[str, str], *, via: str, authorization: str | None, request_id: str) -> Metadata:
    """Return what goes with the call: what it comes by, whose it is, its id, and the trace that it belongs to."""
    traceparent = headers.get("traceparent")
    passed = {VIA_KEY: via, "authorization": authorization, REQUEST_ID: request_id, "traceparent": traceparent}
    return [(key, value) for key, value in passed.items() if value]


def request_id_of(headers: Mapping[str, str]) -> str:
    """Return the id that the caller gave to the request, or a new one."""
    given = headers.get(REQUEST_ID, "")
    return given if 0 < len(given) <= _MAX_REQUEST_ID and given.isascii() and given.isprintable() else new_request_id()


def peer_of(connection: HTTPConnection) -> str:
    """Return where the request came from, written as gRPC does: `ipv4:127.0.0.1:4711`, `ipv6:[::1]:4711`."""
    client = connection.client
    if client is None:
        return ""
    return f"ipv6:[{client.host}]:{client.port}" if ":" in client.host else f"ipv4:{client.host}:{client.port}"

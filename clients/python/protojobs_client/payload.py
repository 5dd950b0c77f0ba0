"""Payload bytes: how data becomes them, how they become data, and a hook for what happens in between."""

import dataclasses
import json
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any, Protocol
from uuid import UUID

from protojobs_client.errors import UndecodableError

JSON = "application/json"
ENVELOPE = "application/vnd.protojobs.envelope"
"""Media type of what a codec has made: see docs/protocol.md, Envelopes."""


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes and their media type."""

    data: bytes
    content_type: str = JSON


class Use(Enum):
    """What bytes are for."""

    PAYLOAD = "payload"
    RESULT = "result"
    CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadContext:
    """Whose bytes they are, so that a codec may bind them to it."""

    kind: str
    queue: str
    use: Use = Use.PAYLOAD
    job_id: str = ""  # empty for the payload of a schedule, whose jobs get their ids from the server


class Codec(Protocol):
    """Changes payloads, results and checkpoints on their way to the server and back, for example to encrypt them.

    The same input gives the same output, or a repeated dispatch of one id would look like another job. Results and
    checkpoints have no stored media type: they reach `decode` as `application/json`. A codec of a worker whose handlers
    run in processes must be picklable.
    """

    def encode(self, payload: Payload, context: PayloadContext) -> Payload:
        """Return what the server stores."""
        ...

    def decode(self, payload: Payload, context: PayloadContext) -> Payload:
        """Undo `encode`; what it has not made passes unchanged. Raises UndecodableError, which never holds any of the bytes."""
        ...


class PlainCodec:
    """Leaves payloads as they are."""

    def encode(self, payload: Payload, context: PayloadContext) -> Payload:  # noqa: ARG002 - for overriders
        """Return the payload."""
        return payload

    def decode(self, payload: Payload, context: PayloadContext) -> Payload:  # noqa: ARG002 - for overriders
        """Return the payload."""
        return payload


def encode_data(data: object, content_type: str | None = None) -> Payload:
    """Turn data into bytes: JSON by default, bytes as they are if `content_type` says what they are.

    JSON takes what the standard library takes, and dataclasses, pydantic models, datetimes, dates and UUIDs.
    Raises TypeError for data that is not JSON and ValueError for NaN and lone surrogates.
    """
    if isinstance(data, bytes | bytearray):
        if content_type is None:
            raise TypeError("bytes need a content_type")
        return Payload(bytes(data), content_type)
    if content_type is not None and not _is_json(content_type):
        raise TypeError(f"data for {content_type} must be bytes, not {type(data).__name__}")
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_to_json)
    return Payload(text.encode(), content_type or JSON)


def decode_data(payload: bytes, content_type: str = JSON) -> Any:
    """Turn bytes into data: JSON is parsed (no bytes are None), text decoded, anything else stays bytes.

    Raises ValueError for bytes that are not what `content_type` says, and UndecodableError for those of a codec.
    """
    if _is_json(content_type or JSON):
        return json.loads(payload) if payload else None
    if content_type.startswith("text/"):
        return payload.decode()
    return plain_bytes(payload, content_type)


def plain_bytes(payload: bytes, content_type: str) -> bytes:
    """Return the bytes. Raises UndecodableError if a codec made them that is not here."""
    if content_type == ENVELOPE:
        raise UndecodableError("NO_CODEC", "a codec made these bytes, and none here reads them")
    return payload


def _is_json(content_type: str) -> bool:
    """Tell JSON media types (RFC 6839) from others, whatever their parameters."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == JSON or media_type.endswith("+json")


def _to_json(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    raise TypeError(f"{type(value).__name__} is not JSON; pass bytes and a content_type instead")

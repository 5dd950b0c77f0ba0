"""What a row of the PHP library's tables is as a job. Pure: the same row is always the same job, under the same id."""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, cast

from protojobs_client import JobRequest, RetryPolicy
from protojobs_client.payload import JSON

_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_REASON_BYTES = 4 * 1024

LABEL = "php_import"

COLUMNS: Mapping[str, str] = {
    "id": "id",
    "queue": "queue",
    "payload": "payload",
    "attempts": "attempts",
    "available_at": "available_at",
    "reserved_at": "reserved_at",
    "exception": "exception",
}
"""Column of each thing; all but id and payload may be missing in a table."""


class Unreadable(ValueError):
    """The row is no job; says why, without its payload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How rows are read. kinds, queues: other names for those of the rows. fields: of the payload: kind and data."""

    source: str
    anchor: datetime
    columns: Mapping[str, str] = field(default_factory=lambda: COLUMNS)
    kinds: Mapping[str, str] = field(default_factory=dict[str, str])
    queues: Mapping[str, str] = field(default_factory=dict[str, str])
    kind_fields: tuple[str, ...] = ("displayName", "job", "class", "kind")
    data_field: str | None = "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhpJob:
    """A row as a job. reason: why it failed, for a row of the failed ones."""

    key: Any
    request: JobRequest
    reserved: bool
    reason: str

    @property
    def id(self) -> str:
        """Id of the job."""
        return str(self.request.options.job_id)


def read_row(row: Mapping[str, Any], table: str, reading: Reading, *, hold: str | None = None) -> PhpJob:
    """Return the job of a row; `hold`: the pattern of the queue of failed ones. Raises Unreadable."""
    values = {name: row.get(column) for name, column in reading.columns.items()}
    key = values["id"]
    if key is None:
        raise Unreadable("the row has no id")
    envelope = _envelope(values["payload"])
    kind = _kind(envelope, reading)
    queue = _queue(str(values["queue"] or "default"), reading, hold)
    data: Any = envelope if reading.data_field is None else envelope.get(reading.data_field, envelope)
    request = JobRequest(kind, None).with_options(
        payload=json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode(),
        content_type=JSON,
        queue=queue,
        job_id=job_id_of(reading, table, key),
        labels={LABEL: reading.source},
    )
    available = _moment(values["available_at"])
    if available is not None and hold is None:
        request = request.at(available)
    runs = envelope.get("maxTries", envelope.get("maxRetries"))
    if isinstance(runs, int) and runs > 0:  # counts runs, and those that were are gone
        spent = values["attempts"] if isinstance(values["attempts"], int) and hold is None else 0
        request = request.with_options(retry=RetryPolicy(max_retries=max(0, runs - 1 - spent)))
    timeout = envelope.get("timeout")
    if isinstance(timeout, int) and timeout > 0:
        request = request.timeout(timeout)
    reason = str(values["exception"] or "failed before the import")
    cut = reason.encode("utf-8", "replace")[:_MAX_REASON_BYTES].decode("utf-8", "ignore")
    return PhpJob(key=key, request=request, reserved=values["reserved_at"] is not None, reason=cut)


def job_id_of(reading: Reading, table: str, key: object) -> str:
    """Return the id of a row's job: a UUIDv7 of the import's time, whose other bits tell source, table and row."""
    digest = bytearray(sha256(f"{reading.source}\n{table}\n{key}".encode()).digest()[:10])
    digest[0] = digest[0] & 0x0F | 0x70
    digest[2] = digest[2] & 0x3F | 0x80
    milliseconds = (reading.anchor - _EPOCH) // timedelta(milliseconds=1)
    return str(uuid.UUID(bytes=milliseconds.to_bytes(6, "big") + bytes(digest)))


def anchor_of(job_id: str) -> datetime:
    """Return the time of an import from the id of one of its jobs."""
    return _EPOCH + timedelta(milliseconds=uuid.UUID(job_id).int >> 80)


def _envelope(payload: object) -> dict[str, Any]:
    if not isinstance(payload, str | bytes):
        raise Unreadable("the payload is neither text nor bytes")
    try:
        envelope = json.loads(payload)
    except ValueError:
        raise Unreadable("the payload is not JSON") from None
    if not isinstance(envelope, dict):
        raise Unreadable("the payload is no object")
    return cast("dict[str, Any]", envelope)


def _kind(envelope: Mapping[str, Any], reading: Reading) -> str:
    for name in reading.kind_fields:
        told = envelope.get(name)
        if isinstance(told, str) and told:
            kind = reading.kinds.get(told) or told.strip("\\").replace("\\", ".").replace("@", ".").replace("::", ".")
            if not _NAME.match(kind):
                raise Unreadable(f"the class in {name} cannot be a kind; give it one with --kind")
            return kind
    raise Unreadable(f"the payload names no class in {', '.join(reading.kind_fields)}")


def _queue(told: str, reading: Reading, hold: str | None) -> str:
    queue = reading.queues.get(told, told)
    queue = queue if hold is None else hold.replace("{queue}", queue)
    if not _NAME.match(queue):
        raise Unreadable("its queue cannot be a queue here; give it a name with --queue")
    return queue


def _moment(value: object) -> datetime | None:
    match value:
        case bool() | None:
            return None
        case int():
            return _EPOCH + timedelta(seconds=value)
        case datetime():
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        case str():
            try:
                at = datetime.fromisoformat(value)
            except ValueError:
                raise Unreadable("its time is not understood") from None
            return at if at.tzinfo else at.replace(tzinfo=UTC)
        case _:
            raise Unreadable("its time is not understood")

"""What `update_job` changes, and the message for it."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypedDict

from protojobs.v1 import job_pb2

from protojobs_client.convert import to_retry_policy, to_timestamp
from protojobs_client.models import RetryPolicy, Seconds
from protojobs_client.payload import Payload
from protojobs_client.request import span


class JobChanges(TypedDict, total=False):
    """What `update_job` changes."""

    data: object  # exclusive with payload
    payload: bytes
    content_type: str
    priority: int  # 1 to 9
    delay: Seconds  # from the moment of the change; exclusive with run_at
    run_at: datetime | None  # aware; None, or one in the past, means at once
    queue: str
    labels: Mapping[str, str]  # all of them
    retry: RetryPolicy | None  # what it leaves out, and None, is as the queue says


def to_changed_spec(changes: JobChanges, payload: Payload | None) -> tuple[job_pb2.JobSpec, list[str]]:
    """Return the changes as a spec, and the names of its fields that count. payload: the new one, encoded.

    Raises TypeError where nothing is to change, or both `delay` and `run_at` are.
    """
    spec = job_pb2.JobSpec()
    spec.priority, spec.queue = changes.get("priority", 0), changes.get("queue", "")
    spec.labels.update(changes.get("labels", {}))
    if (retry := changes.get("retry")) is not None:
        spec.retry.CopyFrom(to_retry_policy(retry) or spec.retry)
    paths: list[str] = [name for name in ("priority", "queue", "labels", "retry") if name in changes]
    if payload is not None:
        spec.payload, spec.content_type = payload.data, payload.content_type
        paths += ["payload", "content_type"]
    elif "content_type" in changes:
        spec.content_type = changes["content_type"]
        paths.append("content_type")
    paths += _set_start(spec, changes)
    if not paths:
        raise TypeError("nothing to change")
    return spec, paths


def _set_start(spec: job_pb2.JobSpec, changes: JobChanges) -> list[str]:
    if "delay" in changes and "run_at" in changes:
        raise TypeError("delay and run_at exclude each other")
    if "delay" in changes:
        spec.delay.FromTimedelta(span(changes["delay"]))
        return ["delay"]
    if "run_at" not in changes:
        return []
    if (at := to_timestamp(changes["run_at"])) is not None:
        spec.run_time.CopyFrom(at)
    return ["run_time"]

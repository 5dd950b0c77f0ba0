"""UpdateJob between the wire and the use case."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from protojobs.v1 import job_pb2, job_service_pb2

from protojobs_service.application import Changes
from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField
from protojobs_service.transport import convert
from protojobs_service.transport.specs import Specs

_PATHS = ("payload", "content_type", "priority", "delay", "run_time", "queue", "labels", "retry")


def parse_changes(request: job_service_pb2.UpdateJobRequest, specs: Specs) -> Changes:
    """Return what an UpdateJob asks for. Raises InvalidField, PayloadTooLarge."""
    paths = _paths(request)
    try:
        return _parse_changes(request.spec, paths, specs)
    except InvalidField as error:
        raise error.under("spec") from None


def edited(values: Mapping[str, Any], check: Callable[[job_pb2.JobSpec], None] | None = None) -> Callable[[bytes], bytes]:
    """Return the function that sets fields of the spec in an envelope; None clears one. check: raises what refuses the new spec."""

    def edit(envelope: bytes) -> bytes:
        spec = convert.parse_spec(envelope)
        for name in values:
            spec.ClearField(name)  # type: ignore[arg-type]  # names of fields, by construction
        spec.MergeFrom(job_pb2.JobSpec(**{name: value for name, value in values.items() if value is not None}))
        if check is not None:
            check(spec)
        return spec.SerializeToString()

    return edit


def _paths(request: job_service_pb2.UpdateJobRequest) -> list[str]:
    """Return the fields to change: those of the mask, or all that are set where there is none."""
    masked: Sequence[str] = request.update_mask.paths
    for place, path in enumerate(masked):
        if path not in _PATHS:
            known = path.partition(".")[0] in job_pb2.JobSpec.DESCRIPTOR.fields_by_name
            why = "cannot be changed" if known else "is no field of JobSpec"
            raise InvalidField(f"update_mask.paths[{place}]", why)
    if masked:
        return list(dict.fromkeys(masked))
    found = [field.name for field, _ in request.spec.ListFields()]
    for name in found:
        if name not in _PATHS:
            raise InvalidField(f"spec.{name}", "cannot be changed")
    if not found:
        raise InvalidField("update_mask", "names nothing to change, and spec sets nothing")
    return found


def _parse_changes(spec: job_pb2.JobSpec, paths: Sequence[str], specs: Specs) -> Changes:
    values: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    for path in paths:
        match path:
            case "payload":
                specs.check_payload(len(spec.payload))
                values["payload"] = spec.payload
            case "content_type":
                values["content_type"] = convert.check_text("content_type", spec.content_type, bounds.MAX_CONTENT_TYPE_BYTES)
            case "priority":
                values["priority"] = changes["priority"] = _priority(spec.priority)
            case "queue":
                values["queue"] = changes["queue"] = convert.check_name("queue", spec.queue or bounds.DEFAULT_QUEUE)
            case "labels":
                values["labels"] = changes["labels"] = convert.parse_labels(spec.labels)
            case "retry":
                values["retry"] = spec.retry if spec.HasField("retry") else None
                changes["retry"] = convert.parse_retry(spec, "retry")
            case _:
                start, name = _start(spec, paths)
                values |= {"delay": None, "run_time": None} | ({name: getattr(spec, name)} if name else {})
                changes["start"] = start
    check = specs.check_stored if values.keys() & {"payload", "queue"} else None
    return Changes(envelope=edited(values, check), **changes)


def _priority(value: int) -> int:
    if value > bounds.MAX_PRIORITY:
        raise InvalidField("priority", f"must be {bounds.MIN_PRIORITY} to {bounds.MAX_PRIORITY}, or 0 for the default")
    return value or bounds.DEFAULT_PRIORITY


def _start(spec: job_pb2.JobSpec, paths: Sequence[str]) -> tuple[datetime | timedelta, str]:
    """Return when the job starts, and which field says so; at once where the mask names one that is not set."""
    name = spec.WhichOneof("start")
    if name == "delay" and name in paths:
        return convert.parse_span("delay", spec.delay, timedelta(), bounds.MAX_DELAY), name
    if name == "run_time" and name in paths:
        return convert.parse_run_time("run_time", spec.run_time, datetime.now(UTC)), name
    return timedelta(), ""

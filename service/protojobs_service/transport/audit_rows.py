"""Which RPCs the audit log has, what they act on, and what is said of them: one row per RPC.

A row says nothing that it does not name: no payload, header, result or value of a label may get into the log.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import text_format
from google.protobuf.message import Message
from protojobs.v1 import admin_service_pb2, job_pb2, job_service_pb2, queue_service_pb2

Details = Mapping[str, str]
_PREFIX = "protojobs.v1."


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How an RPC looks in the log. Both get the request and, where the call was answered, the answer.

    changes_queue: the details of an answered call get the settings of the queue that it changed.
    """

    target: Callable[[Any, Any], str]
    details: Callable[[Any, Any], Details] = lambda _request, _response: {}
    changes_queue: bool = False


def _field(name: str) -> Callable[[Any, Any], str]:
    return lambda request, _response: str(getattr(request, name))


def _state_after(_request: Any, response: Any) -> Details:
    return {} if response is None else {"state": _word(job_pb2.JobState.Name(response.state), "JOB_STATE_")}


def _retry(request: job_service_pb2.RetryRequest, response: job_service_pb2.RetryResponse | None) -> Details:
    changed = [name for name in ("payload", "run_time", "expire_time") if request.HasField(name)]
    return {**_state_after(request, response), **({"changed": ", ".join(changed)} if changed else {})}


def _update_job(request: job_service_pb2.UpdateJobRequest, _response: Any) -> Details:
    known = job_pb2.JobSpec.DESCRIPTOR.fields_by_name
    paths = request.update_mask.paths or [field.name for field, _ in request.spec.ListFields()]
    return {"fields": _list(path for path in paths if path in known)}


def _bulk_target(request: job_service_pb2.BulkJobsRequest, _response: Any) -> str:
    if request.job_ids:
        return request.job_ids[0] if len(request.job_ids) == 1 else f"{len(request.job_ids)} jobs"
    return _list(request.filter.queues) or "*"


def _bulk(request: job_service_pb2.BulkJobsRequest, response: job_service_pb2.BulkJobsResponse | None) -> Details:
    details = {"action": _word(_name(job_service_pb2.BulkAction, request.action), "BULK_ACTION_")}
    chosen_by = [field.name for field, _ in request.filter.ListFields()] + (["expression"] if request.expression else [])
    if chosen_by:
        details["filter"] = _list(chosen_by)
    if request.queue:
        details["queue"] = request.queue
    if request.priority:
        details["priority"] = str(request.priority)
    if response is not None:
        details |= {"changed": str(response.changed), "skipped": str(response.skipped)}
    return details


def _clear(request: queue_service_pb2.ClearQueueRequest, response: queue_service_pb2.ClearQueueResponse | None) -> Details:
    states = _list(_word(_name(job_pb2.JobState, state), "JOB_STATE_") for state in request.states)
    return ({"states": states} if states else {}) | ({} if response is None else {"deleted": str(response.deleted)})


def changed_settings(before: queue_service_pb2.Queue, after: queue_service_pb2.Queue) -> Details:
    """Return the settings of a queue that differ, as `old -> new` by name."""
    names = [field.name for field in after.DESCRIPTOR.fields if field.name not in ("name", "create_time", "update_time")]
    shown = {name: (_show(before, name), _show(after, name)) for name in names}
    return {name: f"{old} -> {new}" for name, (old, new) in shown.items() if old != new}


def _schedule_target(request: Any, response: Any) -> str:
    return str(request.schedule.name or ("" if response is None else response.job_id))


def _schedule(request: Any, response: Any) -> Details:
    schedule = request.schedule if response is None else response.schedule
    details = {"when": schedule.spec.WhichOneof("when") or "", "queue": schedule.job.queue, "kind": schedule.job.kind}
    return {name: text for name, text in details.items() if text}


def _triggered(_request: Any, response: Any) -> Details:
    return {} if response is None else {"job_id": response.job_id}


def _created_token(request: Any, response: Any) -> str:
    return str(request.token_id if response is None else response.token.token_id)


def _create_token(request: admin_service_pb2.CreateTokenRequest, _response: Any) -> Details:
    grants = _list(f"{_word(_name(admin_service_pb2.Scope, each.scope), 'SCOPE_')}:{each.queues or '*'}" for each in request.grants)
    return {"name": request.name, "grants": grants, "ttl": f"{request.ttl.seconds} s"}


ROWS: Final[Mapping[str, Row]] = {
    _PREFIX + rpc: row
    for rpc, row in {
        "JobService/UpdateJob": Row(target=_field("job_id"), details=_update_job),
        "JobService/DeleteJob": Row(target=_field("job_id")),
        "JobService/Cancel": Row(target=_field("job_id"), details=_state_after),
        "JobService/Retry": Row(target=_field("job_id"), details=_retry),
        "JobService/BulkJobs": Row(target=_bulk_target, details=_bulk),
        "QueueService/UpdateQueue": Row(target=lambda request, _: str(request.queue.name), changes_queue=True),
        "QueueService/DeleteQueue": Row(
            target=_field("queue"), details=lambda request, _: {"force": "true"} if request.force else {}
        ),
        "QueueService/PauseQueue": Row(target=_field("queue")),
        "QueueService/ResumeQueue": Row(target=_field("queue")),
        "QueueService/ClearQueue": Row(target=_field("queue"), details=_clear),
        "ScheduleService/Schedule": Row(target=_schedule_target, details=_schedule),
        "ScheduleService/DeleteSchedule": Row(target=_field("name")),
        "ScheduleService/PauseSchedule": Row(target=_field("name")),
        "ScheduleService/ResumeSchedule": Row(target=_field("name")),
        "ScheduleService/TriggerSchedule": Row(target=_field("name"), details=_triggered),
        "WorkerService/DrainWorker": Row(
            target=_field("session"),
            details=lambda request, _: {"deadline": f"{request.deadline.seconds} s"} if request.HasField("deadline") else {},
        ),
        "AdminService/CreateToken": Row(target=_created_token, details=_create_token),
        "AdminService/RevokeToken": Row(target=_field("token_id")),
    }.items()
}
"""The RPCs that change something and that an operator's or an administrator's scope governs."""

UNAUDITED: Final = frozenset(
    _PREFIX + rpc
    for rpc in (
        "JobService/Dispatch",
        "JobService/DispatchBatch",
        "JobService/DispatchStream",
        "WorkerService/Lease",
        "WorkerService/AcquireLeases",
        "WorkerService/SettleLeases",
        "WorkerService/ExtendLeases",
    )
)
"""The RPCs that change something as the daily work of producers and workers; of them the log has refusals only."""


def _show(queue: Any, name: str) -> str:
    field = queue.DESCRIPTOR.fields_by_name[name]
    value: Any = getattr(queue, name)
    if isinstance(value, Message):
        return "{" + text_format.MessageToString(value, as_one_line=True) + "}" if queue.HasField(name) else "unset"
    return str(field.enum_type.values_by_number[value].name if field.enum_type else value).lower()


def _list(texts: Iterable[str]) -> str:
    return ", ".join(texts)


def _name(enum: Any, number: int) -> str:
    return str(enum.Name(number)) if number in enum.values() else str(number)


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()

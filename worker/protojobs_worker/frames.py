"""Frames of the Lease stream from and to plain values; the only file that builds or reads their fields."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final, assert_never

from google.protobuf.duration_pb2 import Duration
from protojobs.v1 import job_pb2
from protojobs.v1 import worker_service_pb2 as wire

from protojobs_worker.ledger import Held, Lease
from protojobs_worker.outcomes import (
    COMPLETED,
    Cancelled,
    Completed,
    Failed,
    Outcome,
    Released,
    ReleaseReason,
    Snoozed,
    cut,
)

WireLease = Lease[wire.LeasedJob]

MAX_SETTLES: Final = 10_000
MAX_UPDATES: Final = 1_000
LONGEST_DELAY: Final = timedelta(days=365)
_LONGEST_GOODBYE: Final = timedelta(days=1)  # what a server takes (worker_service.proto, Goodbye)

_RELEASE: Final[Mapping[ReleaseReason, "wire.ReleaseReason.ValueType"]] = {
    ReleaseReason.SHUTDOWN: wire.RELEASE_REASON_SHUTDOWN,
    ReleaseReason.OVERLOAD: wire.RELEASE_REASON_OVERLOAD,
    ReleaseReason.UNKNOWN_KIND: wire.RELEASE_REASON_UNKNOWN_KIND,
}


def hello(
    *,
    session_id: bytes,
    worker: str,
    sdk_version: str,
    queues: Mapping[str, int],
    strict: bool,
    kinds: Iterable[str],
    window: int,
    slots: int,
    stream_no: int,
    held: Iterable[Held],
    now: float,
    session_ttl: timedelta | None,
) -> wire.LeaseRequest:
    """Build the first frame of a stream."""
    frame = wire.LeaseRequest()
    body = frame.hello
    body.session_id = session_id
    body.worker = cut(worker, 128)
    body.sdk = "protojobs-python"
    body.sdk_version = sdk_version
    for name, weight in queues.items():
        body.queues.add(name=name, weight=weight)
    body.queue_order = wire.QUEUE_ORDER_STRICT if strict else wire.QUEUE_ORDER_WEIGHTED
    body.kinds.extend(kinds)
    body.window.max_in_flight = window
    body.slots = slots
    body.stream_no = stream_no
    for line in held:
        item = body.held.add(job_id=line.job_id, attempt=line.attempt, started=line.started)
        if line.started:
            item.elapsed.CopyFrom(duration(timedelta(seconds=max(0.0, now - line.began_at))))
    if session_ttl is not None:
        body.session_ttl.CopyFrom(duration(session_ttl))
    return frame


def settle(leases: Iterable[WireLease]) -> wire.LeaseRequest:
    """Build a frame of outcomes; completions without a result take the short form."""
    frame = wire.LeaseRequest()
    completed: dict[int, list[str]] = {}
    for lease in leases:
        outcome = lease.outcome
        if outcome is COMPLETED:
            ids = completed.get(lease.attempt)
            if ids is None:
                completed[lease.attempt] = [lease.job_id]
            else:
                ids.append(lease.job_id)
        elif outcome is not None:
            _add_outcome(frame.settle.items.add(job_id=lease.job_id, attempt=lease.attempt), outcome)
    for attempt, ids in completed.items():
        frame.settle.completed.add(attempt=attempt, job_ids=ids)
    return frame


def _add_outcome(item: wire.SettleItem, outcome: Outcome) -> None:
    match outcome:
        case Completed(result, dispatch):
            item.complete.SetInParent()
            if result is not None:
                item.complete.result = result
            for spec in dispatch:
                item.complete.dispatch.add().MergeFromString(spec)
        case Failed(error, retryable, retry_after, checkpoint):
            item.fail.error.type = error.type
            item.fail.error.message = error.message
            item.fail.error.stack = error.stack
            if not retryable:
                item.fail.retryable = False
            if retry_after is not None:
                item.fail.retry_after.CopyFrom(duration(min(retry_after, LONGEST_DELAY)))
            if checkpoint is not None:
                item.fail.checkpoint = checkpoint
        case Snoozed(delay):
            item.snooze.delay.CopyFrom(duration(min(delay, LONGEST_DELAY)))
        case Released(reason):
            item.release.reason = _RELEASE[reason]
        case Cancelled():
            item.cancelled.SetInParent()
        case _:
            assert_never(outcome)


def update(items: Iterable[tuple[WireLease, tuple[float, str] | None, bytes | None]]) -> wire.LeaseRequest:
    """Build a frame of progress and checkpoints."""
    frame = wire.LeaseRequest()
    for lease, progress, checkpoint in items:
        item = frame.update.items.add(job_id=lease.job_id, attempt=lease.attempt)
        if progress is not None:
            ratio, message = progress
            item.progress.CopyFrom(job_pb2.Progress(ratio=ratio, message=message))
        if checkpoint is not None:
            item.checkpoint = checkpoint
    return frame


def window(max_in_flight: int) -> wire.LeaseRequest:
    """Build a frame that says how much there is room for."""
    frame = wire.LeaseRequest()
    frame.window.SetInParent()
    frame.window.max_in_flight = max_in_flight
    return frame


def goodbye(grace: timedelta) -> wire.LeaseRequest:
    """Build the frame that announces a worker's leaving once it has finished what runs."""
    frame = wire.LeaseRequest()
    frame.goodbye.mode = wire.GOODBYE_MODE_FINISH
    frame.goodbye.deadline.CopyFrom(duration(min(grace, _LONGEST_GOODBYE)))
    return frame


def ping() -> wire.LeaseRequest:
    """Build a heartbeat."""
    frame = wire.LeaseRequest()
    frame.ping.SetInParent()
    return frame


def duration(span: timedelta) -> Duration:
    """Write a span of time."""
    value = Duration()
    value.FromTimedelta(span)
    return value


def seconds(value: Duration) -> float:
    """Read a span of time."""
    return float(value.seconds) + value.nanos / 1e9

"""One queue: what it does now, how it is set, and clearing it."""

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from protojobs.v1 import queue_service_pb2 as pb

from protojobs_service.admin.console.views.fields import STATES, length
from protojobs_service.admin.console.views.text import count, rate, size, span

CLEARABLE = tuple(state for state in STATES if state != "running")
_OVERFLOW = {pb.OVERFLOW_REJECT: "refuse", pb.OVERFLOW_RETRY: "ask to retry", pb.OVERFLOW_DROP_OLDEST: "drop the oldest"}
_HISTORY = {pb.HISTORY_ALL: "all jobs", pb.HISTORY_FAILURES: "failures only", pb.HISTORY_NONE: "none"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """A setting in words. is_set: somebody chose it; else the value is what holds by default."""

    name: str
    value: str
    is_set: bool


def view_settings(queue: pb.Queue) -> list[SettingRow]:
    """Return the settings of a queue, in the order in which people ask for them."""
    retry, limit = queue.retry, queue.rate_limit
    retries = str(retry.max_retries) if retry.HasField("max_retries") else ""
    return [
        _row("Jobs at once", count(queue.max_in_flight) if queue.max_in_flight else "", "no limit"),
        _row("Starts per second", f"{rate(limit.per_second)}, burst {count(limit.burst)}" if limit.per_second else "", "no limit"),
        _row("Jobs at once per concurrency key", count(queue.per_key_limit) if queue.per_key_limit > 1 else "", "1"),
        _row("Waiting jobs at most", _depth(queue), "no limit"),
        _row("Payload at most", size(queue.max_payload_bytes) if queue.max_payload_bytes else "", "the server's limit"),
        _row("Retries", retries, "3"),
        _row("First backoff", _span(retry, "initial_backoff"), "1 min"),
        _row("Backoff grows by", f"{retry.multiplier:g}" if retry.HasField("multiplier") else "", "2"),
        _row("Longest backoff", _span(retry, "max_backoff"), "1 h"),
        _row("Run timeout", _span(queue, "run_timeout"), "5 min"),
        _row("Fair between tenants", f"yes, {len(queue.fairness.weights)} weights" if queue.fairness.enabled else "", "no"),
        _row(
            "Waiting raises priority", _span(queue, "aging_interval") if queue.priority_mode == pb.PRIORITY_MODE_AGING else "", "no"
        ),
        _row("Strict leases", "yes" if queue.strict_leases else "", "no"),
        _row("Completed jobs are kept", _span(queue.retention, "completed"), "as long as the server says"),
        _row("Failed jobs are kept", _span(queue.retention, "failed"), "as long as the server says"),
        _row("Cancelled jobs are kept", _span(queue.retention, "cancelled"), "as long as the server says"),
        _row("History", _HISTORY.get(queue.history, ""), "all jobs"),
        _row("Events", "every change" if queue.events == pb.EVENT_LEVEL_ALL else "", "ends and retries"),
    ]


def _row(name: str, chosen: str, default: str) -> SettingRow:
    return SettingRow(name=name, value=chosen or default, is_set=bool(chosen))


def _depth(queue: pb.Queue) -> str:
    if not queue.max_depth:
        return ""
    return f"{count(queue.max_depth)}, then {_OVERFLOW.get(queue.overflow, 'refuse')}"


def _span(message: Message, field: Any) -> str:
    return span(length(message, field))

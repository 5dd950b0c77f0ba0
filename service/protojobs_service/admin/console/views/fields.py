"""What templates get of a message: Python values, and the words of its enums."""

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.message import Message
from protojobs.v1 import job_pb2

STATES = ("scheduled", "pending", "running", "retrying", "completed", "failed", "cancelled", "expired")
FINAL = frozenset({"completed", "failed", "cancelled", "expired"})


def at(message: Message, field: str) -> datetime | None:
    """Return a Timestamp field in UTC; None when it is unset."""
    if not message.HasField(field):
        return None
    time: Any = getattr(message, field)
    value: datetime = time.ToDatetime(tzinfo=UTC)
    return value


def length(message: Message, field: str) -> timedelta | None:
    """Return a Duration field; None when it is unset."""
    if not message.HasField(field):
        return None
    duration: Any = getattr(message, field)
    value: timedelta = duration.ToTimedelta()
    return value


def state_word(state: "job_pb2.JobState.ValueType") -> str:
    """Return `running` for JOB_STATE_RUNNING, `unknown` for what a newer server may say."""
    return _word(job_pb2.JobState, state, "JOB_STATE_")


def state_number(word: str) -> "job_pb2.JobState.ValueType":
    """Return JOB_STATE_RUNNING for `running`. Raises ValueError."""
    return job_pb2.JobState.Value(f"JOB_STATE_{word.upper()}")


def outcome_word(outcome: "job_pb2.AttemptOutcome.ValueType") -> str:
    """Return `crashed` for ATTEMPT_OUTCOME_CRASHED."""
    return _word(job_pb2.AttemptOutcome, outcome, "ATTEMPT_OUTCOME_")


def _word(enum: Any, number: int, prefix: str) -> str:
    try:
        name: str = enum.Name(number)
    except ValueError:
        return "unknown"
    return name.removeprefix(prefix).lower()

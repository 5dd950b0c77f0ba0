"""How an attempt may end: what a handler may say, and what the worker tells the server.

A handler says more than success or failure by returning **or** raising one of these:

    Verdict
    ├── Retry(after)      failed; run again after this wait instead of the policy's backoff
    ├── Snooze(delay)     run again later; neither a failure nor a crash
    ├── Complete(...)     the job is done; store its result, and more jobs, in one transaction
    ├── Cancel(reason)    end the job as CANCELLED
    └── Discard(reason)   end the job as FAILED, whatever retries are left

Everything else becomes one of the `Outcome` values below, one per branch of `SettleItem.outcome`.
"""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from typing import Final

from protojobs_client.request import HasRequest, JobRequest

# job.proto, JobError: longer text is cut, in bytes of UTF-8.
MAX_TYPE_BYTES: Final = 256
MAX_MESSAGE_BYTES: Final = 4 * 1024
MAX_STACK_BYTES: Final = 16 * 1024
# job.proto, Progress: likewise.
MAX_PROGRESS_BYTES: Final = 1024


class Verdict(Exception):
    """A handler's own decision about its job."""


class Retry(Verdict):
    """Fail this attempt and run the job again `after` this wait (default: the policy's backoff)."""

    def __init__(self, after: timedelta | float | None = None, reason: str = "retry requested") -> None:
        """`after` in seconds or as a timedelta, 0 s to 365 days. `reason` becomes the error's message."""
        super().__init__(reason)
        self.after = None if after is None else as_timedelta(after)
        self.reason = reason


class Snooze(Verdict):
    """Run the job again later; this attempt counts neither as a failure nor as a crash."""

    def __init__(self, delay: timedelta | float) -> None:
        """`delay` in seconds or as a timedelta, 0 s to 365 days."""
        super().__init__("snoozed")
        self.delay = as_timedelta(delay)


class Complete(Verdict):
    """End the job as COMPLETED, with a result, and with jobs that are stored in the same transaction: all of it or nothing."""

    def __init__(self, result: object = None, *, dispatch: Sequence[JobRequest | HasRequest | str] = ()) -> None:
        """`result` as a handler returns it. `dispatch`: at most 1000 jobs, together with those of `JobContext.dispatch`.

        A job that has no id of its own gets one of this attempt, so it is stored once, whatever is repeated.
        """
        super().__init__("completed")
        self.result = result
        self.dispatch = tuple(dispatch)


class Cancel(Verdict):
    """End the job as CANCELLED."""

    def __init__(self, reason: str = "cancelled by its handler") -> None:
        """`reason` is for the worker's log; the wire has no place for it."""
        super().__init__(reason)
        self.reason = reason


class Discard(Verdict):
    """End the job as FAILED at once, whatever retries are left."""

    def __init__(self, reason: str = "discarded by its handler") -> None:
        """`reason` becomes the error's message."""
        super().__init__(reason)
        self.reason = reason


def as_timedelta(span: timedelta | float) -> timedelta:
    """Read seconds or a timedelta. Raises ValueError below zero."""
    value = span if isinstance(span, timedelta) else timedelta(seconds=span)
    if value < timedelta(0):
        raise ValueError("a span of time is at least 0 s")
    return value


class ReleaseReason(Enum):
    """Why a job goes back to its queue."""

    SHUTDOWN = "shutdown"
    OVERLOAD = "overload"
    UNKNOWN_KIND = "unknown_kind"


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """Type, message and stack of a failure, each cut to what the contract stores."""

    type: str
    message: str = ""
    stack: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", cut(self.type, MAX_TYPE_BYTES))
        object.__setattr__(self, "message", cut(self.message, MAX_MESSAGE_BYTES))
        object.__setattr__(self, "stack", cut(self.stack, MAX_STACK_BYTES, keep_end=True))


@dataclass(frozen=True, slots=True)
class Completed:
    """The handler completed. `result` None: nothing to keep. `dispatch`: JobSpecs to store in the same transaction."""

    result: bytes | None = None
    dispatch: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler failed."""

    error: ErrorInfo
    retryable: bool = True
    retry_after: timedelta | None = None
    checkpoint: bytes | None = None  # for the next attempt; None keeps what is stored
    # What went wrong here, for hooks in this process; it never travels and does not make two outcomes differ.
    cause: BaseException | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The handler asked to run again later."""

    delay: timedelta


@dataclass(frozen=True, slots=True)
class Released:
    """The job goes back to the front of its queue."""

    reason: ReleaseReason = ReleaseReason.SHUTDOWN


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The handler stopped because the job was cancelled."""

    reason: str = ""


Outcome = Completed | Failed | Snoozed | Released | Cancelled

# Most handlers return nothing: one shared value, recognised by identity on the hot path.
COMPLETED: Final = Completed()


def failed(error: BaseException, *, retryable: bool = True) -> Failed:
    """Describe an exception as a failure, its stack from the handler on."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    stack = "".join(traceback.format_exception(error))
    return Failed(ErrorInfo(name, _text(error), stack), retryable=retryable, cause=error)


def timed_out(seconds: float) -> Failed:
    """Describe an attempt that passed its run timeout."""
    return Failed(ErrorInfo("TIMEOUT", f"run timeout of {seconds:g} s passed"))


def travelling(outcome: Outcome) -> Outcome:
    """Drop what cannot cross to another process."""
    return replace(outcome, cause=None) if isinstance(outcome, Failed) else outcome


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the failure itself
        return "(the error cannot be shown)"


def cut(text: str, limit: int, *, keep_end: bool = False) -> str:
    """Cut to `limit` bytes of UTF-8, never inside a character; lone surrogates become '?'."""
    data = text.encode("utf-8", "replace")
    kept = data[-limit:] if keep_end else data[:limit]
    return kept.decode("utf-8", "ignore")

"""How an attempt ended, and what that does to its job: the only place that decides it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from random import Random
from typing import TYPE_CHECKING, NamedTuple, assert_never

from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.domain.retry import FREE_LOSSES, MAX_CRASHES, Policy, backoff, crash_backoff, return_backoff

if TYPE_CHECKING:
    from protojobs_service.domain.job import NewJob


RESULT_DROPPED = "RESULT_DROPPED"
"""Reason of a completion whose result was larger than the contract keeps."""
CHILD_SKIPPED = "CHILD_SKIPPED"
"""Reason of an attempt that ended its job as its handler said, but of whose children some were not stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why an attempt failed; payload-class data, cut to the bounds of the contract."""

    type: str = ""
    message: str = ""
    stack: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """The handler completed. `children` are stored in the same transaction. result_dropped: it had a result that was too large."""

    result: bytes | None = None
    children: "tuple[NewJob, ...]" = ()
    result_dropped: bool = False


COMPLETE = Complete()
"""The common case, one object for all: whoever sorts outcomes tests for identity first, and only then looks inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """The handler failed, or the server decided so (reason TIMEOUT)."""

    error: JobError
    retryable: bool = True
    retry_after: timedelta | None = None
    checkpoint: bytes | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze:
    """Run again after `delay`: neither a failure nor a crash."""

    delay: timedelta


class ReleaseCause(Enum):
    """Why an attempt goes back."""

    SHUTDOWN = "SHUTDOWN"
    OVERLOAD = "OVERLOAD"
    UNKNOWN_KIND = "UNKNOWN_KIND"
    NO_RECEIPT = "NO_RECEIPT"
    NOT_HELD = "NOT_HELD"


_WORKERS_WORD = frozenset({ReleaseCause.SHUTDOWN, ReleaseCause.OVERLOAD, ReleaseCause.UNKNOWN_KIND})
"""What a worker says that has received the job; the other causes are its server's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Back to the front of its queue: neither a failure nor a crash."""

    cause: ReleaseCause = ReleaseCause.SHUTDOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The handler stopped because of a cancel, or the cancel's deadline passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """The session died. Counts only if the handler had started."""

    started: bool


Outcome = Complete | Fail | Snooze | Release | Cancelled | Crash


class Running(NamedTuple):
    """What decides about a running job besides its outcome.

    returns: how often in a row it was given back (released, never received, or its session died before the handler had begun); a
    completion, failure, snooze or crash sets it to 0. From the third on the job waits before it is offered again.
    losses: how many deliveries died with their worker and nobody knows whether the handler had begun; counted up to `FREE_LOSSES`,
    which puts the job under suspicion. Whatever a worker says of the job sets it to 0; a crash does not.
    """

    failures: int
    crashes: int
    returns: int
    cancel_requested: bool
    policy: Policy
    retry_until: datetime | None
    """Creation (or last Retry by hand) + max_retry_duration."""
    losses: int = 0


class Decision(NamedTuple):
    """What a driver writes for an outcome, under the compare-and-set on (id, attempt, handle).

    code: outcome code of the attempt in `done`. state: where the job goes. delay: for SCHEDULED and RETRYING, and for PENDING
    None. Counters are the new values. front: takes a position before all arrivals.
    """

    code: Code
    state: State
    delay: timedelta | None
    failures: int
    crashes: int
    returns: int
    error: JobError | None = None
    reason: str | None = None
    result: bytes | None = None
    checkpoint: bytes | None = None
    front: bool = False
    losses: int = 0


def may_note_skipped(outcome: Outcome) -> bool:
    """Tell whether the reason of an attempt that ended its job so is free to say that a child was skipped."""
    return isinstance(outcome, Complete) or (isinstance(outcome, Fail) and outcome.reason is None)


def decide(outcome: Outcome, job: Running, now: datetime, rng: Random) -> Decision:
    """Return what `outcome` does to `job`.

    A cancel that was asked for wins over everything but a completion: fail, snooze, release and crash end as CANCELLED.
    """
    keep = (job.failures, job.crashes, job.returns)
    if isinstance(outcome, Complete):
        reason = RESULT_DROPPED if outcome.result_dropped else None
        return Decision(Code.COMPLETED, State.COMPLETED, None, job.failures, job.crashes, 0, reason=reason, result=outcome.result)
    if job.cancel_requested or isinstance(outcome, Cancelled):
        error = outcome.error if isinstance(outcome, Fail) else None
        return Decision(Code.CANCELLED, State.CANCELLED, None, *keep, error=error, reason="CANCELLED")
    match outcome:
        case Fail():
            return _decide_failure(outcome, job, now, rng)
        case Snooze(delay=delay):
            return Decision(Code.SNOOZED, State.SCHEDULED, delay, job.failures, job.crashes, 0)
        case Release(cause=cause):
            return _decide_return(job, cause.value, 0 if cause in _WORKERS_WORD else job.losses)
        case Crash(started=True):
            return _decide_crash(job)
        case Crash():
            return _decide_return(job, "SESSION_DIED", min(job.losses + 1, FREE_LOSSES))
        case _:
            assert_never(outcome)


def _decide_failure(outcome: Fail, job: Running, now: datetime, rng: Random) -> Decision:
    failures = job.failures + 1
    wait = outcome.retry_after if outcome.retry_after is not None else backoff(job.policy, failures, rng)
    in_time = job.retry_until is None or now + wait <= job.retry_until
    if outcome.retryable and failures <= job.policy.max_retries and in_time:
        code, state, delay = Code.RETRIED, State.RETRYING, wait
    else:
        code, state, delay = Code.FAILED, State.FAILED, None
    return Decision(
        code,
        state,
        delay,
        failures,
        job.crashes,
        0,
        error=outcome.error,
        reason=outcome.reason,
        checkpoint=outcome.checkpoint,
    )


def _decide_crash(job: Running) -> Decision:
    crashes = job.crashes + 1
    if crashes >= MAX_CRASHES:
        error = JobError(type="POISON", message=f"the worker died {crashes} times while running this job")
        return Decision(Code.FAILED, State.FAILED, None, job.failures, crashes, 0, error=error, reason="POISON")
    wait = crash_backoff(crashes)
    state = State.PENDING if wait is None else State.RETRYING
    front, losses = wait is None, job.losses
    return Decision(Code.CRASHED, state, wait, job.failures, crashes, 0, reason="SESSION_DIED", front=front, losses=losses)


def _decide_return(job: Running, reason: str, losses: int) -> Decision:
    returns = min(job.returns + 1, 15)
    wait = return_backoff(returns)
    state = State.PENDING if wait is None else State.SCHEDULED
    counters = (job.failures, job.crashes, returns)
    return Decision(Code.RELEASED, state, wait, *counters, reason=reason, front=wait is None, losses=losses)

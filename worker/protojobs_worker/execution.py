"""The life of an attempt: start, resolve, perform, classify, report. One value passes through: `Attempt`.

    start      a lease becomes an attempt, once the frame whose
               `started_seq` counts it has left (`conversation.py`)  -> Attempt, or a release (unknown kind)
    resolve    the payload becomes what the handler takes            (on first use, inside perform: `registry.py`)
    perform    the handler runs: on the loop, a thread or a process  -> value or exception
    classify   value or exception becomes exactly one Outcome
    report     the outcome goes through a mailbox to `Holding.collect`, and into the ledger until it is settled

`lanes.py` (loop) and `pools.py` (threads, processes) decide only *where* `perform` happens; they report. `ledger.py` is the rest of
a lease's life, before and after.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Protocol

from protojobs_client.dispatching import to_request
from protojobs_client.errors import UndecodableError
from protojobs_client.payload import Payload, Use, encode_data
from protojobs_client.request import JobRequest

from protojobs_worker.context import Attempt, JobStopped, JobTimeout, StopReason
from protojobs_worker.frames import WireLease
from protojobs_worker.outcomes import (
    COMPLETED,
    Cancel,
    Cancelled,
    Complete,
    Completed,
    Discard,
    ErrorInfo,
    Failed,
    Outcome,
    Released,
    ReleaseReason,
    Retry,
    Snooze,
    Snoozed,
    Verdict,
    failed,
    timed_out,
)
from protojobs_worker.registry import Handler, InvalidPayload, run_to_end

logger = logging.getLogger(__name__)


class Around(Protocol):
    """What happens around every handler: hooks, spans. None costs nothing."""

    def before(self, attempt: Attempt) -> None:
        """Enter, where the handler runs."""
        ...

    def after(self, attempt: Attempt, outcome: Outcome) -> None:
        """Leave, where the handler ran."""
        ...


def start(lease: WireLease, find: Callable[[str], Handler | None]) -> Attempt | None:
    """Make an attempt of a lease. None: no handler for its kind."""
    handler = find(lease.job.spec.kind)
    return None if handler is None else Attempt(lease, handler)


def perform(attempt: Attempt) -> object:
    """Call a handler on this thread, and wait for it if it is async."""
    value = attempt.handler.invoke(attempt)
    return run_to_end(value) if attempt.handler.is_async else value


def run(attempt: Attempt, around: Around | None = None) -> Outcome:
    """Run an attempt from resolve to classify on this thread."""
    if around is not None:
        around.before(attempt)
    try:
        outcome = classify(attempt, perform(attempt))
    except BaseException as error:
        if is_interrupt(error):
            raise
        outcome = classify_error(attempt, error)
    if around is not None:
        around.after(attempt, outcome)
    return outcome


def is_interrupt(error: BaseException) -> bool:
    """Tell Ctrl-C, which only the main thread gets, from what a handler raised: that ends its attempt, whatever it is."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def classify(attempt: Attempt, value: object) -> Outcome:
    """Turn what a handler returned into an outcome."""
    if attempt.stop_reason is StopReason.LEASE_LOST:
        return stopped(attempt)
    if value is None and attempt.children is None:
        return COMPLETED
    if isinstance(value, Verdict):
        return _verdict(attempt, value)
    return _completed(attempt, value)


def _completed(attempt: Attempt, value: object) -> Outcome:
    children = attempt.children
    try:
        result = None if value is None else _result(attempt, value)
        return Completed(result, () if children is None else tuple(children.specs))
    except (TypeError, ValueError) as error:
        # The work is done and a retry would do it again: the same value would come back.
        return failed(error, retryable=False)


def classify_error(attempt: Attempt, error: BaseException) -> Outcome:
    """Turn what a handler raised into an outcome."""
    if isinstance(error, Verdict):
        return _verdict(attempt, error)
    if attempt.stop_reason is not None and isinstance(error, JobStopped | asyncio.CancelledError):
        return stopped(attempt)
    if isinstance(error, JobTimeout):
        return timed_out(attempt.run_timeout)
    if isinstance(error, InvalidPayload | UndecodableError):
        return failed(error, retryable=False)
    return failed(error, retryable=_may_retry(attempt, error))


def stopped(attempt: Attempt) -> Outcome:
    """Say how an attempt ends whose handler stopped because it was asked to."""
    match attempt.stop_reason:
        case StopReason.TIMEOUT:
            return timed_out(attempt.run_timeout)
        case StopReason.CANCELLED:
            return Cancelled()
        case StopReason.LEASE_LOST | StopReason.SHUTDOWN | None:
            # After a lost lease the server refuses this, unless it was an outage in which nothing expired. What a handler
            # returns that went on all the same is no completion: somebody else may have begun by then.
            return Released(ReleaseReason.SHUTDOWN)


def _verdict(attempt: Attempt, verdict: Verdict) -> Outcome:
    match verdict:
        case Complete():
            return _complete(attempt, verdict)
        case Retry(after=after, reason=reason):
            return Failed(ErrorInfo("Retry", reason), retry_after=after, cause=verdict)
        case Snooze(delay=delay):
            return Snoozed(delay)
        case Cancel(reason=reason):
            return Cancelled(reason)
        case Discard(reason=reason):
            return Failed(ErrorInfo("Discard", reason), retryable=False, cause=verdict)
        case _:
            return failed(verdict, retryable=False)


def _complete(attempt: Attempt, verdict: Complete) -> Outcome:
    try:
        for job in verdict.dispatch:
            attempt.add_child(to_request(job if isinstance(job, str | JobRequest) else job.request(), None, {}))
    except (TypeError, ValueError) as error:
        return failed(error, retryable=False)
    return classify(attempt, verdict.result)


def _result(attempt: Attempt, value: object) -> bytes:
    payload = Payload(bytes(value)) if isinstance(value, bytes | bytearray) else encode_data(value)
    return attempt.handler.seal(attempt.job, payload, Use.RESULT)


def _may_retry(attempt: Attempt, error: BaseException) -> bool:
    ask = attempt.handler.should_retry
    if ask is None:
        return True
    try:
        return bool(ask(error))
    except Exception:
        logger.exception("should_retry failed", extra={"job_id": attempt.lease.job_id})
        return True

"""Runs handlers inline, through the worker's own execution pipeline, without a server.

result = run_inline(SendEmail, {"to": "ann@example.com"})
assert result.outcome == Completed()

run_due(fake, worker)  # what a FakeClient has been given: protojobs_client.testing
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypedDict, Unpack

from protojobs.v1 import job_pb2
from protojobs.v1 import worker_service_pb2 as wire
from protojobs_client.fake_store import FakeStore
from protojobs_client.job import Job
from protojobs_client.models import JobState
from protojobs_client.payload import encode_data
from protojobs_client.testing import FakeJob, HasFakeStore

from protojobs_worker.context import Attempt
from protojobs_worker.execution import classify, classify_error, is_interrupt, run
from protojobs_worker.ledger import Lease
from protojobs_worker.outcomes import Cancelled, Completed, Failed, Outcome, Released, Snoozed
from protojobs_worker.registry import Handler, HandlerOptions, is_job_class, run_to_end
from protojobs_worker.worker import Worker

_JOB_ID = "01990000-0000-7000-8000-000000000000"


class InlineOptions(TypedDict, total=False):
    """What else the handler may see."""

    kind: str
    queue: str
    attempt: int  # default 1
    failures: int  # default 0
    max_retries: int  # default 3
    run_timeout: float  # seconds, default 300
    content_type: str
    headers: Mapping[str, str]
    labels: Mapping[str, str]
    checkpoint: bytes
    payload: Any  # payload type of the handler


@dataclass(frozen=True, slots=True)
class InlineResult:
    """How the attempt ended, and what the handler said on the way."""

    outcome: Outcome
    progress: tuple[tuple[float, str], ...]
    checkpoint: bytes | None
    final: bool  # FAILED: no retry follows; `failed()` has run

    @property
    def value(self) -> Any:
        """The result as a producer reads it: parsed JSON, bytes that are no JSON as they are, None without one."""
        if not isinstance(self.outcome, Completed) or self.outcome.result is None:
            return None
        try:
            return json.loads(self.outcome.result)
        except ValueError:
            return self.outcome.result


def run_inline(handler: Callable[..., object] | type[Job], data: Any = None, **options: Unpack[InlineOptions]) -> InlineResult:
    """Run one attempt on this thread. Async handlers get a loop of their own: use `run_inline_async` inside one."""
    return _run(_told(handler, data, options))


async def run_inline_async(
    handler: Callable[..., object] | type[Job], data: Any = None, **options: Unpack[InlineOptions]
) -> InlineResult:
    """Run one attempt in the running event loop."""
    return await _run_async(_told(handler, data, options))


def run_due(fake: HasFakeStore, worker: Worker, *, most: int = 1000) -> list[InlineResult]:
    """Run the jobs of a fake client that are due by its clock, and what they dispatch or are followed by, until none is left.

    Failures are retried as the job's policy says, without jitter, once the clock has been moved that far. Every queue is
    served. Raises LookupError for a kind without a handler, and RuntimeError after `most` attempts.
    """
    results: list[InlineResult] = []
    while (job := _next(fake.store, len(results), most)) is not None:
        told = _begin(fake.store, job, worker)
        results.append(_end(fake.store, job, _run(told)))
    return results


async def run_due_async(fake: HasFakeStore, worker: Worker, *, most: int = 1000) -> list[InlineResult]:
    """Do the same in the running event loop."""
    results: list[InlineResult] = []
    while (job := _next(fake.store, len(results), most)) is not None:
        told = _begin(fake.store, job, worker)
        results.append(_end(fake.store, job, await _run_async(told)))
    return results


def _run(told: "_Told") -> InlineResult:
    outcome = run(told.attempt)
    if told.is_final(outcome):
        result = told.call_failed(outcome)
        if hasattr(result, "__await__"):
            run_to_end(result)
    return told.result(outcome)


async def _run_async(told: "_Told") -> InlineResult:
    attempt = told.attempt
    try:
        value: Any = attempt.handler.invoke(attempt)
        outcome = classify(attempt, await value if attempt.handler.is_async else value)
    except GeneratorExit:
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        outcome = classify_error(attempt, error)
    if told.is_final(outcome):
        result: Any = told.call_failed(outcome)
        if hasattr(result, "__await__"):
            await result
    return told.result(outcome)


def _next(store: FakeStore, done: int, most: int) -> FakeJob | None:
    due = store.due()
    if due and done >= most:
        raise RuntimeError(f"jobs are still due after {most} attempts")
    return due[0] if due else None


def _begin(store: FakeStore, job: FakeJob, worker: Worker) -> "_Told":
    handler = worker.registry.get(job.kind)
    if handler is None:
        raise LookupError(f"the worker has no handler for kind {job.kind}")
    store.begin(job)
    leased = wire.LeasedJob(job_id=job.id, attempt=job.attempt, spec=job.spec, failures=job.failures)
    leased.spec.queue = job.queue
    leased.max_retries, leased.checkpoint = job.max_retries, job.checkpoint
    if job.spec.HasField("run_timeout"):
        leased.run_timeout.CopyFrom(job.spec.run_timeout)
    return _Told(handler, leased)


def _end(store: FakeStore, job: FakeJob, result: InlineResult) -> InlineResult:
    if result.checkpoint is not None:
        job.checkpoint = result.checkpoint
    match result.outcome:
        case Completed(result=value, dispatch=children):
            job.result = value
            store.end(job, JobState.COMPLETED, children=children)
        case Failed(error=error, retry_after=after):
            job.failures += 1
            job.error = job_pb2.JobError(type=error.type, message=error.message, stack=error.stack)
            wait = job.backoff() if after is None else after
            store.end(job, JobState.FAILED if result.final else JobState.RETRYING, wait=None if result.final else wait)
        case Snoozed(delay=delay):
            store.end(job, JobState.SCHEDULED, wait=delay)
        case Cancelled():
            store.end(job, JobState.CANCELLED)
        case Released():
            store.end(job, JobState.PENDING)
    return result


def _told(target: Callable[..., object] | type[Job], data: Any, options: InlineOptions) -> "_Told":
    named = target.kind if is_job_class(target) else str(getattr(target, "__name__", "handler"))
    kind = options.get("kind", named)
    payload = encode_data(data, options.get("content_type"))
    job = wire.LeasedJob(job_id=_JOB_ID, attempt=options.get("attempt", 1))
    job.spec.id, job.spec.kind = _JOB_ID, kind
    job.spec.queue = options.get("queue", "default")
    job.spec.payload, job.spec.content_type = payload.data, payload.content_type
    job.spec.headers.update(options.get("headers", {}))
    job.spec.labels.update(options.get("labels", {}))
    job.failures, job.max_retries = options.get("failures", 0), options.get("max_retries", 3)
    job.checkpoint = options.get("checkpoint", b"")
    job.run_timeout.FromMilliseconds(round(options.get("run_timeout", 300.0) * 1000))
    return _Told(Handler(kind, target, HandlerOptions(payload=options.get("payload"))), job)


class _Told:
    """An attempt that nobody leased, and what its handler tells."""

    def __init__(self, handler: Handler, job: wire.LeasedJob) -> None:
        self.attempt = Attempt(Lease(job.job_id, job.attempt, job, 1), handler)
        self.attempt.began_at = monotonic()
        self.attempt.on_update = self._hear
        self._progress: list[tuple[float, str]] = []
        self._checkpoint: bytes | None = None

    def _hear(self, attempt: Attempt) -> None:
        progress, attempt.progress = attempt.progress, None
        if progress is not None:
            self._progress.append(progress)
        self._checkpoint = attempt.checkpoint

    def is_final(self, outcome: Outcome) -> bool:
        job = self.attempt.job
        return isinstance(outcome, Failed) and (not outcome.retryable or job.failures >= job.max_retries)

    def call_failed(self, outcome: Outcome) -> object:
        failed = self.attempt.handler.failed
        if failed is None or not isinstance(outcome, Failed):
            return None
        return failed(self.attempt, outcome.cause or RuntimeError(outcome.error.message))

    def result(self, outcome: Outcome) -> InlineResult:
        return InlineResult(outcome, tuple(self._progress), self._checkpoint, self.is_final(outcome))

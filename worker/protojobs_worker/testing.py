"""Runs a handler inline, through the worker's own execution pipeline, without a server.

result = run_inline(SendEmail, {"to": "ann@example.com"})
assert result.outcome == Completed()
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypedDict, Unpack

from protojobs.v1 import worker_service_pb2 as wire
from protojobs_client.job import Job
from protojobs_client.payload import encode_data

from protojobs_worker.context import Attempt
from protojobs_worker.execution import classify, classify_error, is_interrupt, run
from protojobs_worker.ledger import Lease
from protojobs_worker.outcomes import Completed, Failed, Outcome
from protojobs_worker.registry import Handler, HandlerOptions, is_job_class, run_to_end

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
    told = _Told(handler, data, options)
    outcome = run(told.attempt)
    if told.is_final(outcome):
        result = told.call_failed(outcome)
        if hasattr(result, "__await__"):
            run_to_end(result)
    return told.result(outcome)


async def run_inline_async(
    handler: Callable[..., object] | type[Job], data: Any = None, **options: Unpack[InlineOptions]
) -> InlineResult:
    """Run one attempt in the running event loop."""
    told = _Told(handler, data, options)
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


class _Told:
    """An attempt that nobody leased, and what its handler tells."""

    def __init__(self, target: Callable[..., object] | type[Job], data: Any, options: InlineOptions) -> None:
        named = target.kind if is_job_class(target) else str(getattr(target, "__name__", "handler"))
        kind = options.get("kind", named)
        handler = Handler(kind, target, HandlerOptions(payload=options.get("payload")))
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
        self.attempt = Attempt(Lease(_JOB_ID, job.attempt, job, 1), handler)
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

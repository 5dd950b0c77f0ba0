"""A producer on the public SDK that writes every call into the history."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson
from protojobs_client import (
    AsyncClient,
    Dispatched,
    Jitter,
    JobIds,
    JobRequest,
    JobState,
    Options,
    ProtoJobsError,
    QueueStats,
    RetryPolicy,
)

from tests.canaries import PAYLOAD_WORD
from tests.checker import Recorder, digest

T = TypeVar("T")

FAST: RetryPolicy = RetryPolicy(initial_backoff=timedelta(seconds=0.3), max_retries=3, jitter=Jitter.NONE)


class Found:
    """Counts that are true only if they are as wanted, and show themselves where they are not."""

    def __init__(self, counts: Mapping[str, int], *, as_wanted: bool) -> None:
        self._counts = counts
        self._as_wanted = as_wanted

    def __bool__(self) -> bool:
        return self._as_wanted

    def __repr__(self) -> str:
        return repr(dict(self._counts))


class Producer:
    """Dispatches, cancels and retries jobs; errors are recorded and, unless `strict`, swallowed."""

    def __init__(self, address: str, recorder: Recorder, *, strict: bool = True, call_timeout: float = 30.0) -> None:
        self.client = AsyncClient(options=Options(address=address, call_timeout=timedelta(seconds=call_timeout)))
        self.recorder = recorder
        self.strict = strict
        self.stored = 0  # jobs that are acknowledged, of batches
        self._ids = JobIds()

    async def close(self) -> None:
        await self.client.close()

    async def dispatch(
        self,
        count: int,
        *,
        queue: str = "main",
        kind: str = "work",
        task: Mapping[str, Any] | None = None,
        delay: float | None = None,
        run_at: float | None = None,
        expire_in: float | None = None,
        priority: int = 5,
        labels: Mapping[str, str] | None = None,
        policy: RetryPolicy = FAST,
        ids: Sequence[str] | None = None,
        singly: bool = False,
    ) -> list[str]:
        """Store jobs in batches, or one by one on the stream; return their ids. `ids`: dispatch these again."""
        jobs: list[str] = list(ids) if ids is not None else [self._ids.new() for _ in range(count)]
        payloads = [orjson.dumps({**(task or {}), "n": place, "card": PAYLOAD_WORD}) for place in range(len(jobs))]
        request = JobRequest(kind).with_options(queue=queue, priority=priority, retry=policy)
        if delay is not None:
            request = request.delay(delay)
        if run_at is not None:
            request = request.at(datetime.fromtimestamp(run_at, UTC))
        if expire_in is not None:
            request = request.expires_at(datetime.fromtimestamp(time.time() + expire_in, UTC))
        if labels:
            request = request.with_options(labels=labels)
        requests = [request.with_options(job_id=job, payload=payload) for job, payload in zip(jobs, payloads, strict=True)]
        told: dict[str, Any] = {
            "queue": queue,
            "kind": kind,
            "delay": delay,
            "run_at": run_at,
            "policy": _told(policy),
            "may_expire": expire_in is not None,
        }
        digests = [digest(payload) for payload in payloads]
        if singly:
            for job, one, mark in zip(jobs, requests, digests, strict=True):
                self.recorder.write("dispatch", "invoke", jobs=[job], digests=[mark], **told)
                try:
                    await self.client.dispatch(one)
                except ProtoJobsError as error:
                    self._note("dispatch", error, jobs=[job])
                else:
                    self.recorder.write("dispatch", "ok", jobs=[job])
            return jobs
        self.recorder.write("dispatch", "invoke", jobs=jobs, digests=digests, **told)
        results = await self.client.dispatch_many(requests)
        stored = [result.job_id for result in results if isinstance(result, Dispatched)]
        self.recorder.write("dispatch", "ok", jobs=stored)
        self.stored += len(stored)
        for result in results:
            if not isinstance(result, Dispatched):
                self._note("dispatch", result.error, jobs=[result.job_id])
        return jobs

    async def cancel(self, job: str, *, deadline: float | None = None) -> JobState | None:
        """Cancel a job; None: it failed, and that is recorded."""
        state = await self._act("cancel", job, lambda: self.client.cancel(job, deadline=deadline))
        if state is not None:
            self.recorder.write("cancel", "ok", job=job, state=state.name)
        return state

    async def retry(self, job: str) -> None:
        """Take a job up again."""
        retried = await self._act("retry", job, lambda: self.client.retry(job))
        if retried is not None:
            self.recorder.write("retry", "ok", job=job, state=retried.state.name, already=retried.already)

    async def counts(self, queue: str) -> dict[str, int]:
        """Return what Stats says of a queue, without zeros."""
        stats = (await self.client.stats()).queues
        return next((stated(numbers) for numbers in stats if numbers.queue == queue), dict[str, int]())

    async def is_quiet(self, queues: Sequence[str]) -> bool:
        """Tell whether every job of these queues is final."""
        counts = [await self.counts(queue) for queue in queues]
        return not any(each.keys() & {"SCHEDULED", "PENDING", "RUNNING", "RETRYING"} for each in counts)

    async def has(self, queue: str, **wanted: int) -> "Found":
        """Tell whether a queue has exactly so many jobs by state."""
        counts = await self.counts(queue)
        return Found(counts, as_wanted=counts == wanted)

    async def final_state(self, job: str) -> str:
        """Return the state of a job that is final, else nothing."""
        info = await self.client.get(job)
        return info.state.name if info.state.is_final else ""

    async def has_crashed(self, job: str, times: int) -> bool:
        """Tell whether so many crashes are counted for a job."""
        return (await self.client.get(job)).crashes == times

    async def _act(self, op: str, job: str, call: Callable[[], Awaitable[T]]) -> T | None:
        self.recorder.write(op, "invoke", job=job)
        try:
            return await call()
        except ProtoJobsError as error:
            self._note(op, error, job=job)
            return None

    def _note(self, op: str, error: ProtoJobsError, **which: Any) -> None:
        phase = "info" if error.retryable or error.code.name in _UNKNOWN else "fail"
        self.recorder.write(op, phase, code=error.code.name, reason=error.reason, message=error.message, **which)
        if self.strict:
            raise error


def stated(numbers: QueueStats) -> dict[str, int]:
    """Return the counts of a QueueStats by state, without zeros."""
    counts = {state.name: getattr(numbers, state.value) for state in JobState if state is not JobState.UNKNOWN}
    return {name: count for name, count in counts.items() if count}


def _told(policy: RetryPolicy) -> dict[str, Any]:
    wait, most = policy.initial_backoff, policy.max_backoff
    told = {
        "max_retries": policy.max_retries,
        "initial_backoff": None if wait is None else wait.total_seconds(),
        "multiplier": policy.multiplier,
        "max_backoff": None if most is None else most.total_seconds(),
        "jitter": None if policy.jitter is None else policy.jitter.name,
    }
    return {name: value for name, value in told.items() if value is not None}


_UNKNOWN = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNKNOWN", "INTERNAL"})

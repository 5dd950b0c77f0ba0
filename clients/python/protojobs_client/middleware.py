"""What happens around a dispatch: hooks that see every job before and after it is stored.

Events of `client.on`:

    job.queuing    before a job is stored; the hook may return a changed `JobRequest`, or raise to refuse the job
    job.queued     after the server has answered: `JobQueued`, also where it refused

A client that has no hooks pays nothing. Jobs that the server makes (of schedules that repeat, of a finished job) pass no client.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from protojobs_client.outcome import DispatchResult
from protojobs_client.request import JobRequest

logger = logging.getLogger(__name__)

ClientEvent = Literal["job.queuing", "job.queued"]
EVENTS: Final[tuple[str, ...]] = get_args(ClientEvent)


@dataclass(frozen=True, slots=True)
class JobQueued:
    """What was asked for, and what became of it."""

    request: JobRequest
    result: DispatchResult


class ClientMiddleware:
    """Wraps every dispatch; subclass it and override what you need. Must not block: it runs on the client's loop."""

    def queuing(self, request: JobRequest) -> JobRequest:
        """Return what to store, changed or not. What it raises reaches the caller; then nothing is stored."""
        return request

    def queued(self, request: JobRequest, result: DispatchResult) -> None:
        """Hear what became of it. An exception here is logged: the job is stored."""


class ClientHooks:
    """Middleware and hooks, in the order in which they were added."""

    def __init__(self, middleware: Sequence[ClientMiddleware] = ()) -> None:
        self._queuing: list[Callable[[JobRequest], JobRequest | None]] = [each.queuing for each in middleware]
        self._queued: list[Callable[[JobQueued], object]] = [_hearing(each) for each in middleware]

    def __bool__(self) -> bool:
        return bool(self._queuing or self._queued)

    def add(self, event: ClientEvent, hook: Callable[..., object]) -> None:
        """Call `hook` at every such event. Raises ValueError for an unknown name."""
        match event:
            case "job.queuing":
                self._queuing.append(_answering(hook))
            case "job.queued":
                self._queued.append(hook)
            case _:
                raise ValueError(f"no event {event!r}; there are {', '.join(EVENTS)}")

    def before(self, request: JobRequest) -> JobRequest:
        """Return what is to be stored. Raises what a hook raises."""
        for hook in self._queuing:
            request = hook(request) or request
        return request

    def after(self, requests: Sequence[JobRequest], results: Sequence[DispatchResult]) -> None:
        """Tell what became of jobs, last hook first."""
        for request, result in zip(requests, results, strict=True):
            for hook in reversed(self._queued):
                try:
                    hook(JobQueued(request, result))
                except Exception:
                    logger.exception("hook failed", extra={"event": "job.queued", "job_id": result.job_id})


def _hearing(middleware: ClientMiddleware) -> Callable[[JobQueued], object]:
    return lambda queued: middleware.queued(queued.request, queued.result)


def _answering(hook: Callable[..., object]) -> Callable[[JobRequest], JobRequest | None]:
    def queuing(request: JobRequest) -> JobRequest | None:
        answer = hook(request)
        if answer is None or isinstance(answer, JobRequest):
            return answer
        raise TypeError("a hook of job.queuing returns a JobRequest or None")

    return queuing

"""The Python runtime of Proto Jobs: handlers for background jobs.

from protojobs_worker import JobContext, Retry, Worker
"""

from protojobs_worker.context import JobCancelled, JobContext, JobStopped, JobTimeout, StopReason
from protojobs_worker.middleware import (
    JobFailed,
    JobProcessed,
    JobProcessing,
    MemoryExceeded,
    Middleware,
    WorkerStarting,
    WorkerStopped,
)
from protojobs_worker.options import ExitReason, WorkerOptions
from protojobs_worker.outcomes import Cancel, Complete, Discard, Retry, Snooze
from protojobs_worker.registry import InvalidPayload
from protojobs_worker.worker import Worker

__all__ = [
    "Cancel",
    "Complete",
    "Discard",
    "ExitReason",
    "InvalidPayload",
    "JobCancelled",
    "JobContext",
    "JobFailed",
    "JobProcessed",
    "JobProcessing",
    "JobStopped",
    "JobTimeout",
    "MemoryExceeded",
    "Middleware",
    "Retry",
    "Snooze",
    "StopReason",
    "Worker",
    "WorkerOptions",
    "WorkerStarting",
    "WorkerStopped",
]

"""The Python client of Proto Jobs: dispatch background jobs and look at them.

Start with `Client` or `AsyncClient`; write kinds of jobs as `Job` classes. Errors are in `protojobs_client.errors`.
"""

from protojobs_client.async_client import AsyncClient
from protojobs_client.channel import open_channel
from protojobs_client.client import Client
from protojobs_client.errors import (
    JobCancelledError,
    JobEndedError,
    JobExpiredError,
    JobFailedError,
    JobNotFoundError,
    ProtoJobsError,
    UnavailableError,
    WaitTimeoutError,
)
from protojobs_client.ids import JobId, JobIds
from protojobs_client.job import Job
from protojobs_client.models import (
    AttemptInfo,
    AttemptOutcome,
    Capability,
    HealthStatus,
    Jitter,
    JobErrorInfo,
    JobInfo,
    JobState,
    LimitedBy,
    Limits,
    NoWorkerKind,
    ProgressInfo,
    QueueInfo,
    QueueStats,
    Retention,
    Retried,
    RetryPolicy,
    RunningJobInfo,
    Seconds,
    ServerInfo,
    Stats,
    WorkerInfo,
)
from protojobs_client.options import Options
from protojobs_client.outcome import Dispatched, DispatchOutcome, DispatchResult, Refused
from protojobs_client.pages import AsyncPages, Pages
from protojobs_client.payload import Codec, Payload, PlainCodec, decode_data, encode_data
from protojobs_client.queues import QueueSettings
from protojobs_client.request import DispatchOptions, JobOptions, JobRequest

__all__ = [
    "AsyncClient",
    "AsyncPages",
    "AttemptInfo",
    "AttemptOutcome",
    "Capability",
    "Client",
    "Codec",
    "DispatchOptions",
    "DispatchOutcome",
    "DispatchResult",
    "Dispatched",
    "HealthStatus",
    "Jitter",
    "Job",
    "JobCancelledError",
    "JobEndedError",
    "JobErrorInfo",
    "JobExpiredError",
    "JobFailedError",
    "JobId",
    "JobIds",
    "JobInfo",
    "JobNotFoundError",
    "JobOptions",
    "JobRequest",
    "JobState",
    "LimitedBy",
    "Limits",
    "NoWorkerKind",
    "Options",
    "Pages",
    "Payload",
    "PlainCodec",
    "ProgressInfo",
    "ProtoJobsError",
    "QueueInfo",
    "QueueSettings",
    "QueueStats",
    "Refused",
    "Retention",
    "Retried",
    "RetryPolicy",
    "RunningJobInfo",
    "Seconds",
    "ServerInfo",
    "Stats",
    "UnavailableError",
    "WaitTimeoutError",
    "WorkerInfo",
    "decode_data",
    "encode_data",
    "open_channel",
]

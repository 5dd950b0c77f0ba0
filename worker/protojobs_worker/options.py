"""Every knob of a worker, with unit, default and bounds; and the reasons for which it ends, with exit codes."""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Literal

MAX_WINDOW = 100_000

TraceParent = Literal["link", "continue"]


class ExitReason(Enum):
    """Why a worker ended, and the exit code of its process."""

    SIGNAL = ("signal", 0)  # SIGTERM, SIGINT or stop(): everything was finished or given back
    DRAINED = ("drained", 0)  # an operator drained it
    EMPTY = ("empty", 0)  # until_empty
    MAX_JOBS = ("max_jobs", 0)  # recycled
    MAX_LIFETIME = ("max_lifetime", 0)  # recycled
    MAX_MEMORY = ("max_memory", 0)  # recycled
    STUCK = ("stuck", 75)  # too many handlers do not stop: EX_TEMPFAIL, start it again
    KILLED = ("killed", 130)  # a second signal: running handlers were given back unfinished
    REFUSED = ("refused", 78)  # the server refuses this configuration or these credentials: EX_CONFIG, see the log

    def __init__(self, label: str, code: int) -> None:
        self.label = label
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """Settings of a worker. Spans are seconds. Raises ValueError for what cannot work."""

    queues: Mapping[str, int]  # name -> weight, 1 to 1000; 1 to 100 queues
    order: Literal["weighted", "strict"] = "weighted"  # strict: a queue is served only while those before have nothing
    concurrency: int = 10  # handlers at once, 1 to 100000
    window: int | None = None  # jobs delivered and not settled; None: concurrency + what 0.02 to 0.25 s of work need
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
    session_ttl: float | None = None  # how long leases outlive the last heartbeat, 2 to 600; None: the server's
    grace: float = 30.0  # soft stop: running handlers may finish for so long
    stop_grace: float = 5.0  # hard stop: then they are cancelled and may clean up for so long
    stuck_limit: int | None = None  # stuck handlers that end the worker; None: 3, at most half of the concurrency
    processes: int | None = None  # size of the process pool; None: concurrency. Started when they are needed
    until_empty: bool = False  # leave once nothing waits
    empty_grace: float = 10.0  # until_empty: leave after so long without a delivery, whatever the server counts
    max_jobs: int | None = None  # leave after so many jobs
    max_memory: int | None = None  # leave when the process has grown to so many bytes
    max_lifetime: float | None = None  # leave after so long
    health_file: Path | None = None  # exists, and is touched, while the worker is healthy
    health_port: int | None = None  # serves GET /healthz on all interfaces: 200 or 503; 0: a free one of loopback
    trace_parent: TraceParent = "link"  # a handler's span begins a trace and links to the dispatch, or continues its trace
    unhealthy_after: float = 120.0  # without a stream, or with a blocked event loop

    def __post_init__(self) -> None:
        if not 1 <= len(self.queues) <= 100:
            raise ValueError("a worker reads 1 to 100 queues")
        if not all(1 <= weight <= 1000 for weight in self.queues.values()):
            raise ValueError("weights are 1 to 1000")
        if not 1 <= self.concurrency <= MAX_WINDOW:
            raise ValueError(f"concurrency is 1 to {MAX_WINDOW}")
        if self.window is not None and not 1 <= self.window <= MAX_WINDOW:
            raise ValueError(f"window is 1 to {MAX_WINDOW}")
        if self.session_ttl is not None and not 2 <= self.session_ttl <= 600:
            raise ValueError("session_ttl is 2 to 600 s")
        if self.order not in {"weighted", "strict"}:
            raise ValueError("order is weighted or strict")
        if self.trace_parent not in {"link", "continue"}:
            raise ValueError("trace_parent is link or continue")
        if self.processes is not None and self.processes < 1:
            raise ValueError("processes is at least 1")

    @property
    def ttl(self) -> timedelta | None:
        """`session_ttl` as a timedelta."""
        return None if self.session_ttl is None else timedelta(seconds=self.session_ttl)

    @property
    def stuck_slots(self) -> int:
        """How many stuck handlers end the worker."""
        if self.stuck_limit is not None:
            return max(1, self.stuck_limit)
        return max(1, min(3, self.concurrency // 2))


def queue_weights(queues: Mapping[str, int] | Sequence[str]) -> dict[str, int]:
    """Read queues as a mapping to weights or as names of equal weight."""
    if isinstance(queues, Mapping):
        return dict(queues)
    if isinstance(queues, str):
        raise TypeError("queues is a list of names or a mapping of names to weights")
    return dict.fromkeys(queues, 1)

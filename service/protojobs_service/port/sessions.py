"""Worker sessions: who may end which attempt, and what happens to the jobs of those that died."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from protojobs_service.domain.job import Handle, JobId, Lease
from protojobs_service.port.jobs import Settlement


class Held(NamedTuple):
    """A lease that a worker says it has."""

    id: JobId
    attempt: int
    started: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A stream of a session (or the calls of the unary twin). secret: the worker's 16 bytes; stores keep only a hash.

    stream_no grows within a session. `held`: every delivered job without an answer to its settle.
    unary: no live stream; any replica's `rescue` enforces run timeouts and cancel deadlines of its leases.
    """

    secret: bytes
    stream_no: int
    worker: str
    sdk: str
    sdk_version: str
    queues: Sequence[str]
    kinds: Sequence[str]
    slots: int
    ttl: timedelta
    held: Sequence[Held] = ()
    unary: bool = False


class Opened(NamedTuple):
    """The stream's handle, the public number of its session, and which of `held` it still has."""

    handle: Handle
    session: int
    kept: Sequence[Held]
    lost: Sequence[Held]
    draining: bool
    """DrainWorker was called on this session."""


class Found(NamedTuple):
    """A live session by its secret: its newest stream, and what that was opened with."""

    handle: Handle
    session: int
    stream_no: int
    ttl: timedelta
    unary: bool
    draining: bool


class CancelRequest(NamedTuple):
    """Somebody asked for the end of a running job. remaining: until the lease is to be revoked, negative when over."""

    handle: Handle
    id: JobId
    attempt: int
    remaining: timedelta


class RunningJob(NamedTuple):
    """A job that a session has leased."""

    id: JobId
    queue: str
    kind: str
    attempt: int
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """A live session, for operators."""

    session: int
    worker: str
    sdk: str
    sdk_version: str
    queues: Sequence[str]
    kinds: Sequence[str]
    slots: int
    in_flight: int
    heartbeat_at: datetime
    created_at: datetime
    draining: bool
    running: Sequence[RunningJob]


class Sessions(Protocol):
    """Sessions of one store. All raise StoreUnavailable and are safe to repeat."""

    async def open(self, opening: Opening) -> Opened:
        """Register a session or resume it: a new handle with exactly the `held` leases; the old one is closed, the rest goes back.

        All in one transaction. A crash that was counted for an attempt in `held` is taken back (the worker proved that it
        lived). Raises SessionSuperseded for a stream_no that is not above the last one; of unary ones, for a lower one only: a
        call is repeated under its number where its answer was lost.
        """
        ...

    async def find(self, secret: bytes) -> Found | None:
        """Return the session of this secret, on whichever replica its newest stream is; None where none lives."""
        ...

    async def leased(self, handle: Handle) -> Sequence[Lease]:
        """Return what runs under a handle, as `claim` has given it: a repeated call is answered with the same leases."""
        ...

    async def renew(self, handles: Sequence[Handle]) -> Sequence[Handle]:
        """Push the expiry of the sessions of these handles to now + ttl; returns those handles that are closed."""
        ...

    async def detach(self, handle: Handle, started: Sequence[JobId], grace: timedelta | None) -> None:
        """Note that the stream is gone and which of its jobs had started.

        The session expires after `grace` if that is sooner than its ttl; None leaves its ttl.
        """
        ...

    async def close(self, handle: Handle, started: Sequence[JobId]) -> int:
        """End the session of this handle at once; what it still has goes back (release, nothing counted). Returns how many."""
        ...

    async def leases(self, handles: Sequence[Handle]) -> Sequence[tuple[Handle, JobId, int]]:
        """Return (handle, id, attempt) of everything running under these handles."""
        ...

    async def rescue(self, limit: int) -> Sequence[Settlement]:
        """Close expired handles and decide their jobs as crashed (started) or returned (not started); at most `limit` jobs.

        Also ends what run timeout and cancel deadline of unary handles ask for. Unless a beat is fresh it is one itself, and does
        nothing after an outage that it must first add to every expiry. Returns what it applied; calls Room.arrived.
        """
        ...

    async def beat(self) -> None:
        """Write this replica's sign of life, by the store's clock; a gap in the fleet's beats is added to every expiry."""
        ...

    async def cancel_requests(self, handles: Sequence[Handle]) -> Sequence[CancelRequest]:
        """Return the open cancel requests of jobs running under these handles."""
        ...

    async def list(self, queue: str | None, after: int, limit: int) -> Sequence[SessionRecord]:
        """Return live sessions with a number above `after`, oldest first."""
        ...

    async def drain(self, session: int, deadline: timedelta) -> bool:
        """Mark a session as draining; False where there is no live one."""
        ...

    async def draining(self, handles: Sequence[Handle]) -> Sequence[tuple[Handle, timedelta]]:
        """Return those handles whose session is draining, with the time left."""
        ...

"""What this session holds: every delivered job from its delivery to the server's answer about its outcome.

Pure: no clock, no threads, no wire. One thread owns it. The life of a lease:

    WAITING ──begin──> RUNNING ──end──> ENDED ──settled──> gone
       └──────release / drop──────────────┘
    WAITING, RUNNING ──lost, superseded──> GONE (its outcome is dropped when its handler ends)
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Generic, TypeVar

from protojobs_worker.outcomes import COMPLETED, Completed, ErrorInfo, Failed, Outcome, Released, ReleaseReason

Job = TypeVar("Job")

# A second refusal of the plain failure that replaced a malformed outcome means that nothing we can say is accepted.
_MAX_INVALID = 2


class LeaseState(IntEnum):
    """Where a lease stands in this process."""

    WAITING = 0
    RUNNING = 1
    ENDED = 2
    GONE = 3


# A member of an enum costs 30 ns to look up on its class; these are read several times a job.
_WAITING: Final = LeaseState.WAITING
_RUNNING: Final = LeaseState.RUNNING
_ENDED: Final = LeaseState.ENDED
_GONE: Final = LeaseState.GONE


class Lease(Generic[Job]):
    """One attempt of one job, held by this session."""

    # Defaults stand on the class: an instance pays only for what it sets (1.2 us -> 0.4 us a job).
    state: LeaseState = _WAITING
    outcome: Outcome | None = None
    began_at: float | None = None
    run: Any = None  # whatever runs the handler; the ledger never looks at it
    stop_asked: Any = None  # why and when, where that came before there was anything to stop
    sent_at: float | None = None  # when its outcome first left, and the span of that; for `exchange`
    settling: Any = None
    tries: int = 0
    invalid: int = 0

    def __init__(self, job_id: str, attempt: int, job: Job, stream_no: int) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.job = job
        self.stream_no = stream_no

    def __repr__(self) -> str:
        return f"Lease({self.job_id}, attempt={self.attempt}, {self.state.name})"


@dataclass(frozen=True, slots=True)
class Held:
    """One line of `Hello.held`."""

    job_id: str
    attempt: int
    started: bool
    began_at: float


class Ledger(Generic[Job]):
    """The leases of one session, in the order of delivery.

    Keeps four promises: a handler begins only for a lease that still stands, in delivery order; an outcome is
    sent on every stream until it is answered; an answered or lost outcome is never sent again; `begun` counts
    the jobs *of the current stream* that have begun or were released unstarted (`LeaseRequest.started_seq`).
    """

    def __init__(self) -> None:
        self.stream_no = 0
        self.begun = 0
        self.running = 0
        self._held: dict[str, Lease[Job]] = {}
        self._waiting: deque[Lease[Job]] = deque()
        self._unsent: deque[Lease[Job]] = deque()
        self._delayed: list[tuple[float, Lease[Job]]] = []
        self._waiting_live = 0

    # ---- what there is -------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Count delivered jobs without a `Settled`."""
        return len(self._held)

    def __iter__(self) -> Iterator[Lease[Job]]:
        """Iterate over delivered jobs without a `Settled`."""
        return iter(self._held.values())

    @property
    def waiting(self) -> int:
        """Count leases whose handler has not begun."""
        return self._waiting_live

    @property
    def unsent(self) -> int:
        """Count outcomes that the current stream has not carried yet."""
        return len(self._unsent)

    @property
    def idle(self) -> bool:
        """Tell whether nothing is held and no handler is running."""
        return not self._held and not self.running

    def held(self) -> list[Held]:
        """List everything delivered and not settled, for `Hello.held`."""
        return [
            Held(lease.job_id, lease.attempt, lease.began_at is not None, lease.began_at or 0.0) for lease in self._held.values()
        ]

    def get(self, job_id: str, attempt: int) -> Lease[Job] | None:
        """Find the lease of exactly this attempt."""
        lease = self._held.get(job_id)
        return lease if lease is not None and lease.attempt == attempt else None

    def running_leases(self) -> Iterator[Lease[Job]]:
        """Iterate over held leases whose handler is running."""
        return (lease for lease in self._held.values() if lease.state is _RUNNING)

    # ---- deliver, begin, end -------------------------------------------------------------------------

    def deliver(self, jobs: Iterable[tuple[str, int, Job]]) -> list[Lease[Job]]:
        """Take delivered jobs in order. Returns running leases that a newer attempt supersedes: stop those."""
        superseded: list[Lease[Job]] = []
        held, waiting, stream_no = self._held, self._waiting, self.stream_no
        for job_id, attempt, job in jobs:
            lease = Lease(job_id, attempt, job, stream_no)
            # Also a repeated delivery takes its place in the order, or `begun` would count the wrong jobs.
            waiting.append(lease)
            old = held.get(job_id)
            if old is not None:
                if old.attempt >= attempt:
                    lease.state = _GONE
                    continue
                if self._forget(old):
                    superseded.append(old)
            held[job_id] = lease
            self._waiting_live += 1
        return superseded

    def begin(self, limit: int, now: float, may_begin: Callable[[Lease[Job]], bool] | None = None) -> list[Lease[Job]]:
        """Move up to `limit` waiting leases to running, in delivery order, and count them as begun.

        The first of which `may_begin` says no holds up those behind it.
        """
        started: list[Lease[Job]] = []
        waiting, stream_no = self._waiting, self.stream_no
        while waiting and len(started) < limit:
            lease = waiting[0]
            if may_begin is not None and lease.state is _WAITING and not may_begin(lease):
                break
            waiting.popleft()
            if lease.stream_no == stream_no:
                self.begun += 1
            if lease.state is _WAITING:
                lease.state = _RUNNING
                lease.began_at = now
                started.append(lease)
        self.running += len(started)
        self._waiting_live -= len(started)
        return started

    def put_back(self, leases: list[Lease[Job]]) -> None:
        """Undo `begin` for leases whose frame never left; their handlers have not been called.

        Only valid when the stream that should have carried the frame is lost: `begun` is not corrected.
        """
        for lease in reversed(leases):
            self.running -= 1
            if lease.state is _RUNNING:
                lease.state = _WAITING
                lease.began_at = None
                self._waiting.appendleft(lease)
                self._waiting_live += 1

    def end(self, lease: Lease[Job], outcome: Outcome) -> bool:
        """Note that a handler has ended. False: the lease is gone or was ended before, the outcome is dropped."""
        self.running -= 1
        return self.conclude(lease, outcome)

    def conclude(self, lease: Lease[Job], outcome: Outcome) -> bool:
        """Give a running lease its outcome while its handler may still be running (a stuck one)."""
        if lease.state is not _RUNNING:
            return False
        self._conclude(lease, outcome)
        return True

    def release_waiting(self, reason: ReleaseReason) -> int:
        """Give everything back that has not begun."""
        released = 0
        while self._waiting:
            lease = self._waiting.popleft()
            if lease.stream_no == self.stream_no:
                self.begun += 1
            if lease.state is _WAITING:
                self._waiting_live -= 1
                self._conclude(lease, Released(reason))
                released += 1
        return released

    def drop_waiting(self) -> int:
        """Forget everything that has not begun: after Goodbye the server takes back what `begun` does not count."""
        dropped = 0
        while self._waiting:
            lease = self._waiting.popleft()
            if lease.state is _WAITING:
                self._forget(lease)
                dropped += 1
        return dropped

    def cancel(self, job_id: str, attempt: int, outcome: Outcome | None) -> Lease[Job] | None:
        """Stop one attempt. Waiting: it ends with `outcome` (None: is forgotten). Running: returned, to be stopped."""
        lease = self.get(job_id, attempt)
        if lease is None:
            return None
        was = lease.state
        if outcome is None and was is not _ENDED:
            self._forget(lease)
        elif outcome is not None and was is _WAITING:
            # It keeps its place in the order; `begin` counts and skips it.
            self._waiting_live -= 1
            self._conclude(lease, outcome)
        return lease if was is _RUNNING else None

    # ---- settle --------------------------------------------------------------------------------------

    def take_unsent(self, max_items: int, max_bytes: int) -> list[Lease[Job]]:
        """Take outcomes for one frame: at most so many, and stop at so many bytes (but take at least one)."""
        taken: list[Lease[Job]] = []
        size = 0
        unsent = self._unsent
        while unsent and len(taken) < max_items and size < max_bytes:
            lease = unsent[0]
            outcome = lease.outcome
            if lease.state is _ENDED and outcome is not None:
                cost = _COST if outcome is COMPLETED else _cost(outcome)
                if taken and size + cost > max_bytes:
                    break
                size += cost
                taken.append(lease)
            unsent.popleft()
        return taken

    def settled(self, job_ids: Iterable[str], attempt: int) -> None:
        """Forget leases whose outcome was answered for good: OK, ALREADY or LEASE_SUPERSEDED."""
        held = self._held
        for job_id in job_ids:
            lease = held.get(job_id)
            if lease is not None and lease.attempt == attempt:
                if lease.state is _ENDED:
                    lease.state = _GONE
                    del held[job_id]
                else:
                    self._forget(lease)

    def retry_later(self, lease: Lease[Job], due: float) -> None:
        """Send the outcome again at `due`: the server could not store it."""
        if lease.state is _ENDED:
            lease.tries += 1
            self._delayed.append((due, lease))

    def refuse(self, lease: Lease[Job], message: str) -> bool:
        """Replace a malformed outcome by a plain failure, so that the job is not stuck. False: given up."""
        if lease.state is not _ENDED:
            return False
        lease.invalid += 1
        if lease.invalid > _MAX_INVALID:
            self._forget(lease)
            return False
        lease.outcome = Failed(ErrorInfo("INVALID_OUTCOME", message), retryable=False)
        self._unsent.append(lease)
        return True

    def revive(self, now: float) -> float | None:
        """Queue delayed outcomes that are due. Returns when the next one is."""
        if not self._delayed:
            return None
        due = [lease for at, lease in self._delayed if at <= now]
        self._delayed = [(at, lease) for at, lease in self._delayed if at > now]
        self._unsent.extend(due)
        return min((at for at, _ in self._delayed), default=None)

    # ---- streams -------------------------------------------------------------------------------------

    def open_stream(self, stream_no: int) -> None:
        """Begin a new stream: nothing was delivered on it, and every unconfirmed outcome goes out on it again."""
        self.stream_no = stream_no
        self.begun = 0
        self._delayed.clear()
        self._unsent = deque(lease for lease in self._held.values() if lease.state is _ENDED)

    def resume(self, kept: Iterable[tuple[str, int]]) -> list[Lease[Job]]:
        """Keep what the server says this session still has. Returns running leases that it has not: stop those.

        Outcomes of lost leases stay: an answer may have been lost with the old stream, and `Settled` decides.
        """
        stands = set(kept)
        lost: list[Lease[Job]] = []
        for lease in list(self._held.values()):
            if lease.stream_no == self.stream_no or (lease.job_id, lease.attempt) in stands:
                continue
            if lease.state is not _ENDED and self._forget(lease):
                lost.append(lease)
        return lost

    def reset(self) -> list[Lease[Job]]:
        """Forget everything: the session is over. Returns running leases: stop those."""
        running = [lease for lease in list(self._held.values()) if self._forget(lease)]
        self._waiting.clear()
        self._unsent.clear()
        self._delayed.clear()
        return running

    # ---- inside --------------------------------------------------------------------------------------

    def _conclude(self, lease: Lease[Job], outcome: Outcome) -> None:
        lease.state = _ENDED
        lease.outcome = outcome
        self._unsent.append(lease)

    def _forget(self, lease: Lease[Job]) -> bool:
        """Drop a lease. True: its handler is running and must be stopped."""
        was = lease.state
        lease.state = _GONE
        if self._held.get(lease.job_id) is lease:
            del self._held[lease.job_id]
        if was is _WAITING:
            self._waiting_live -= 1
        return was is _RUNNING


# An item of the short form is an id; of the long form an id, an attempt and what follows.
_COST = 40


def _cost(outcome: Outcome) -> int:
    match outcome:
        case Failed(error=error, checkpoint=checkpoint):
            return _COST + 64 + 4 * (len(error.type) + len(error.message) + len(error.stack)) + len(checkpoint or b"")
        case Completed(result, dispatch):
            return _COST + 64 + len(result or b"") + sum(len(spec) + 8 for spec in dispatch)
        case _:
            return _COST + 64

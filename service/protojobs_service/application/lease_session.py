"""One stream of a worker session as this replica remembers it: what it may get, what it has, what it has begun.

The store knows who holds which lease; this memory knows what the store need not: room, receipts, and which handlers have begun.
Its loss costs nothing but a second delivery.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from protojobs_service.application.lease_sink import DrainCause, LeaseSink
from protojobs_service.application.stride import Stride
from protojobs_service.application.timings import Timings
from protojobs_service.domain.errors import ProtocolViolation
from protojobs_service.domain.job import Handle, JobId, JobRecord, Lease, make_tuple
from protojobs_service.domain.queue_limits import HoldCause
from protojobs_service.domain.retry import DEFAULT_POLICY

_NOTHING_BEGUN = -(1 << 62)
_DEFAULT_TIMEOUT = DEFAULT_POLICY.run_timeout.total_seconds()
_BEGIN_STEP = 0.5
_LOT = 500


class HeldLease(NamedTuple):
    """A lease that a worker says it has. elapsed: since its handler has begun, by the worker's clock."""

    id: JobId
    attempt: int
    started: bool
    elapsed: timedelta = timedelta()


class Window(NamedTuple):
    """What a worker has room for: absolute. max_bytes 0: no bound."""

    max_in_flight: int
    max_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a worker says of itself. weights: queue to share, in the order given. kinds None: all."""

    secret: bytes
    stream_no: int
    worker: str = ""
    sdk: str = ""
    sdk_version: str = ""
    weights: dict[str, int]
    strict: bool = False
    kinds: frozenset[str] | None = None
    window: Window
    slots: int = 1
    ttl: timedelta
    held: Sequence[HeldLease] = ()
    unary: bool = False


class Flight(NamedTuple):
    """A job that was handed to the stream and has no final answer. Ordinals count the stream's jobs; resumed ones are negative."""

    attempt: int
    kind: str
    size: int
    timeout: float | None
    ordinal: int
    queue: str = ""


class _Parcel(NamedTuple):
    """A Deliver frame without a receipt. upto: ordinal of the first job after it."""

    frame_seq: int
    upto: int
    size: int
    deadline: float


class LeaseSession:
    """The memory of one stream. Only `lease` and `lease_watch` change it besides the frames that its stream reads."""

    def __init__(self, handle: Handle, number: int, hello: Hello, sink: LeaseSink, now: float, timings: Timings) -> None:
        self.handle = handle
        self.number = number
        self.hello = hello
        self.sink = sink
        self._timings = timings
        self.slots = hello.slots
        self.window = hello.window
        self.ttl = hello.ttl.total_seconds()
        self.heartbeat = min(timings.max_heartbeat, self.ttl / 4)
        self.stride = Stride(hello.weights, strict=hello.strict)
        self.barred: frozenset[str] = frozenset()
        self.flights: dict[JobId, Flight] = {}
        self._begun_times: dict[JobId, float] = {}
        self.cancels: dict[JobId, float] = {}
        self.unlearnt: list[JobId] = []
        self._suspects: dict[JobId, int] = {}
        """Ordinals of suspects."""
        self._held_up: tuple[int, float] | None = None
        self.counted: dict[JobId, str] = {}
        """The queues of those jobs whose queue has limits."""
        self.freed: set[str] = set()
        """Queues with limits of which jobs have ended since somebody looked."""
        self.throttled: dict[str, tuple[HoldCause, float]] = {}
        """What the worker was told last of each queue that a limit keeps back, and when."""
        self.bytes = self.reserved = self.reserved_bytes = 0
        self.free = 0
        self.dry = self.stirred = self.byte_bound = False
        self.settling = 0
        self.heard_at = now
        self.is_fresh = True
        self.stalled_at: int | None = None
        self.drain_at: float | None = None
        self.drain_until: float | None = None
        self.drain_cause: DrainCause | None = None
        self.leaving_until: float | None = None
        self.is_idle = hello.unary
        """Unary, and no call waits: nobody is there to take what comes."""
        self.looks = 0
        """Unary: how many claims have ended since the call began."""
        self.on_look: Callable[[], None] | None = None
        self.gone = False
        self.check_at = float("inf")
        self._parcels: deque[_Parcel] = deque()
        self._outstanding = 0
        self._delivered = self._sent = self._received = self._started_seq = self._frame_seq = self._call_began = 0
        self._begun = _NOTHING_BEGUN
        self._begins: tuple[list[int], list[float]] = ([], [])

    def resume(self, kept: Sequence[HeldLease], now: float) -> None:
        """Take over leases of the session's earlier stream, in the order in which they were delivered."""
        for place, held in enumerate(kept, -len(kept)):
            self.flights[held.id] = Flight(held.attempt, "", 0, None, place)
            if held.started:
                self._begun_times[held.id] = now - held.elapsed.total_seconds()
            self.unlearnt.append(held.id)

    def learn(self, records: Iterable[JobRecord]) -> None:
        """Take what resumed jobs are bound by from their records."""
        for record in records:
            flight = self.flights.get(record.id)
            if flight is not None and flight.attempt == record.attempt and flight.timeout is None:
                size, timeout = len(record.envelope), record.policy.run_timeout.total_seconds()
                self.flights[record.id] = flight._replace(kind=record.kind, size=size, timeout=timeout, queue=record.queue)
                self.bytes += size
        self.check_at = float("-inf")

    @property
    def takes_jobs(self) -> bool:
        """Tell whether anything may be delivered on this stream."""
        return not (
            self.gone
            or self.is_idle
            or self.drain_until is not None
            or self.leaving_until is not None
            or self.stalled_at is not None
        )

    def room(self) -> int:
        """Return how many more jobs the window has room for."""
        if not self.takes_jobs:
            return 0
        most = self.window.max_bytes
        if most and self.bytes + self.reserved_bytes >= most:
            return 0
        # A call may have so many jobs more, whatever is settled while it waits.
        taken = self._delivered - self._call_began if self.hello.unary else len(self.flights)
        return max(0, self.window.max_in_flight - taken - self.reserved)

    def begin_call(self, most: int) -> None:
        """Unary: let a call have up to `most` jobs more, until `is_idle` is set again."""
        self.window, self.slots = Window(most), len(self.flights) + most
        self._call_began = self._delivered
        self.looks = 0
        self.is_idle = self.dry = False

    def looked(self) -> None:
        """Note that a claim for this session has ended."""
        self.looks += 1
        if self.on_look is not None:
            self.on_look()

    def idle_slots(self) -> int:
        """Return how many more handlers could begin at once."""
        return self.slots - len(self.flights) - self.reserved

    def wants_jobs(self) -> bool:
        """Tell whether it is worth a claim: a handler is idle, or there is room for a good lot beyond those that run.

        Prefetch comes in lots of a quarter of the window: a claim of 500 costs half of five claims of 100.
        """
        return self.free > 0 and (self.idle_slots() > 0 or self.free >= min(_LOT, self.window.max_in_flight // 4))

    def may_run(self, queue: str, kind: str) -> bool:
        """Tell whether the session reads this queue and can run this kind."""
        kinds = self.hello.kinds
        return queue in self.hello.weights and (kinds is None or kind in kinds) and kind not in self.barred

    def take(self, leases: Sequence[Lease], now: float) -> None:
        """Remember jobs that are handed to the sink."""
        flights, ordinal, size, check_after = self.flights, self._delivered, 0, _DEFAULT_TIMEOUT
        for _, job_id, attempt, queue, kind, envelope, _, policy, _, suspect in leases:
            timeout = _DEFAULT_TIMEOUT
            if policy is not None:
                timeout = policy.run_timeout.total_seconds()
                check_after = min(check_after, timeout)
            length = len(envelope)
            if job_id in flights:
                size -= flights.pop(job_id).size
                self._begun_times.pop(job_id, None)
                self._suspects.pop(job_id, None)
            flights[job_id] = make_tuple(Flight, (attempt, kind, length, timeout, ordinal, queue))
            if suspect:
                self._suspects[job_id] = ordinal
            ordinal += 1
            size += length
        self._delivered = ordinal
        self.bytes += size
        self.check_at = min(self.check_at, now + check_after)

    def next_lot(self, packed: int, waiting: int) -> int:
        """Return how many of the `waiting` leases the next frame may have beside the `packed` ones, which go first.

        A suspect goes alone: when nothing is on its way without a receipt and no other suspect is unsettled; and nothing follows
        it before its receipt. So where the worker dies until then, it was this job, or one that is known to have begun.
        """
        if not self._suspects:
            return waiting
        sent, received = self._sent, self._received
        waiting_at = [ordinal for ordinal in self._suspects.values() if ordinal >= sent]
        gone_at = [ordinal for ordinal in self._suspects.values() if ordinal < sent]
        if any(ordinal >= received for ordinal in gone_at):
            return 0
        before = min(waiting_at, default=sent + packed + waiting) - sent - packed
        if before > 0:
            return min(before, waiting)
        return 0 if packed or gone_at or self._parcels else min(1, waiting)

    @property
    def has_suspects(self) -> bool:
        """Tell whether a receipt or a settle may let more go out."""
        return bool(self._suspects)

    def is_held_up(self, now: float) -> bool:
        """Tell whether a suspect has waited for the end of another one for too long; what is behind it could run meanwhile."""
        waiting_at = [ordinal for ordinal in self._suspects.values() if ordinal >= self._sent]
        if not waiting_at or len(waiting_at) == len(self._suspects):
            self._held_up = None
            return False
        if self._held_up is None or self._held_up[0] != min(waiting_at):
            self._held_up = (min(waiting_at), now)
        return now - self._held_up[1] >= self._timings.suspect

    def withdrawn(self) -> None:
        """Note that nothing that was handed over waits to be sent any more."""
        self._delivered = self._sent

    def sent(self, frame_seq: int, jobs: int, size: int, now: float) -> None:
        """Note that the next `jobs` jobs are on their way in that frame; its receipt is due from now on."""
        self._sent += jobs
        self._outstanding += size
        patience = self._timings.receipt + self._outstanding / self._timings.receipt_bytes
        self._parcels.append(_Parcel(frame_seq, self._sent, size, now + patience))

    def heard(self, now: float, frame_seq: int, received_seq: int, started_seq: int) -> None:
        """Take the numbers that every frame of the worker carries. Raises ProtocolViolation, and changes nothing then."""
        if received_seq > frame_seq:
            raise ProtocolViolation("received_seq is ahead of what was sent")
        if started_seq > self._sent:
            raise ProtocolViolation("started_seq is ahead of what was delivered")
        self.heard_at = now
        self.is_fresh = True
        while self._parcels and self._parcels[0].frame_seq <= received_seq:
            parcel = self._parcels.popleft()
            self._received = parcel.upto
            self._outstanding -= parcel.size
        if self.stalled_at is not None and received_seq >= self.stalled_at:
            self.stalled_at = None
        if started_seq > self._started_seq:
            self._started_seq = self._begun = started_seq
            bounds, times = self._begins
            if times and now - times[-1] < _BEGIN_STEP:
                bounds[-1] = started_seq
            else:
                bounds.append(started_seq)
                times.append(now)

    def unreceived(self, now: float) -> list[JobId]:
        """Return the jobs whose receipt is overdue, and deliver nothing more until the worker has caught up."""
        overdue = None
        while self._parcels and self._parcels[0].deadline <= now:
            overdue = self._parcels.popleft()
            self._outstanding -= overdue.size
        if overdue is None:
            return []
        self.stalled_at = overdue.frame_seq
        received, self._received = self._received, overdue.upto
        return [job_id for job_id, flight in self.flights.items() if received <= flight.ordinal < overdue.upto]

    def unsent(self, *, slow: bool) -> list[JobId]:
        """Return the jobs that no frame has carried; slow: nor any that has been received."""
        bound = self._received if slow else self._sent
        return [job_id for job_id, flight in self.flights.items() if flight.ordinal >= bound]

    def unbegun(self) -> list[JobId]:
        """Return the jobs of which the worker has not said that they have begun."""
        begun = self._begun_times
        return [job_id for job_id, flight in self.flights.items() if job_id not in begun and flight.ordinal >= self._begun]

    def started(self) -> list[JobId]:
        """Return the jobs whose handler counts as begun.

        Those the worker named, the first `slots` that it has received, and a suspect that was sent: nothing else can have been it.
        """
        found: list[JobId] = []
        slots = self.slots
        for job_id, flight in self.flights.items():
            if slots > 0 and flight.ordinal < self._received:
                slots -= 1
                found.append(job_id)
            elif job_id in self._begun_times or flight.ordinal < self._begun or self._is_on_trial(job_id, flight):
                found.append(job_id)
        return found

    def _is_on_trial(self, job_id: JobId, flight: Flight) -> bool:
        return job_id in self._suspects and self._received <= flight.ordinal < self._sent

    def was_sent(self, flight: Flight) -> bool:
        """Tell whether a frame has carried the job: a Cancel must not overtake its Deliver."""
        return flight.ordinal < self._sent

    def overdue(self, now: float, grace: float) -> list[JobId]:
        """Return the jobs that have run longer than their timeout and `grace`; sets when to look next."""
        late: list[JobId] = []
        check_at = float("inf")
        slots = self.slots
        for job_id, flight in self.flights.items():
            begun_at = self._begun_times.get(job_id)
            if begun_at is None:
                begun_at = self._begun_at(flight.ordinal)
                if begun_at is None and slots > 0 and flight.ordinal < self._received:
                    begun_at = now  # it counts as begun, whatever the worker says
                if begun_at is not None:
                    self._begun_times[job_id] = begun_at
            slots -= 1
            if flight.timeout is None:
                continue
            due = (now if begun_at is None else begun_at) + flight.timeout + grace
            if due <= now:
                late.append(job_id)
            else:
                check_at = min(check_at, due)
        self.check_at = check_at
        self._forget_begins()
        return late

    def _begun_at(self, ordinal: int) -> float | None:
        bounds, times = self._begins
        place = bisect_right(bounds, ordinal)
        return times[place] if place < len(bounds) else None

    def _forget_begins(self) -> None:
        bounds, times = self._begins
        place = bisect_right(bounds, min((flight.ordinal for flight in self.flights.values()), default=self._delivered))
        del bounds[:place], times[:place]

    def drop(self, job_id: JobId, attempt: int) -> Flight | None:
        """Forget a job whose attempt has ended."""
        flight = self.flights.get(job_id)
        if flight is None or flight.attempt != attempt:
            return None
        self.drop_all([(job_id, attempt)])
        return flight

    def drop_all(self, ended: Iterable[tuple[Any, ...]]) -> list[Flight]:
        """Forget jobs whose attempts have ended: by tuples that begin with id and attempt. Returns what it had of them."""
        flights, size = self.flights, 0
        dropped: list[Flight] = []
        if self.counted:
            ended = list(ended)
            self.freed |= {queue for item in ended if (queue := self.counted.pop(item[0], "")) and item[0] in flights}
        others = [each for each in (self.cancels, self._begun_times, self._suspects) if each]
        for item in ended:
            job_id, attempt = item[0], item[1]
            flight = flights.get(job_id)
            if flight is None or flight[0] != attempt:
                continue
            del flights[job_id]
            dropped.append(flight)
            size += flight[2]
            for other in others:
                other.pop(job_id, None)
        self.bytes -= size
        return dropped

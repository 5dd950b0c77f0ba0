"""Lease by calls: the unary twin of the stream, on the same engine, for workers that cannot hold one.

Between two calls a session has no room, and what still comes for it goes back. What a call leases counts as received and begun
at once. Any replica may get the next call: what this one does not remember, it finds in the store.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from protojobs_service.application.clock import Clock
from protojobs_service.application.lease import Leasing
from protojobs_service.application.lease_errands import NOT_HELD
from protojobs_service.application.lease_room import LeaseRoom
from protojobs_service.application.lease_session import HeldLease, Hello, LeaseSession, Window
from protojobs_service.application.lease_sink import DrainCause, Stop, StopCause
from protojobs_service.application.settle import Settle
from protojobs_service.application.stride import Stride
from protojobs_service.domain.errors import NOT_NOW, Draining, JobsError, SessionClosed, SessionSuperseded
from protojobs_service.domain.job import Handle, Lease
from protojobs_service.domain.queue_limits import HoldCause
from protojobs_service.port import Driver, Settled, Settlement, SettleVerdict

_SHUT = Window(0)
_SETTLING_STEP, _SETTLING_STEPS = 0.02, 5
_FIRST_LOOK = 1.0
"""How long a call waits at least for the claim loop to look for it once: a wait of 0 gets what is there."""


class Acquired(NamedTuple):
    """Leases of one call, and those of `held` that the session has not."""

    leases: Sequence[Lease]
    lost: Sequence[HeldLease]
    session: LeaseSession


class Caller(NamedTuple):
    """The session of a call. session: this replica's memory of it; None: it is another's, or nobody's."""

    secret: bytes
    handle: Handle
    ttl: timedelta
    session: LeaseSession | None


class Extended(NamedTuple):
    """What became of a session's leases since the last call."""

    stops: Sequence[Stop]
    lost: Sequence[HeldLease]
    caller: Caller


class _Mailbox:
    """The sink of a session without a stream: keeps what arrives for the call that waits."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self.leases: list[Lease] = []
        self.answered: Sequence[Lease] = ()
        self.seq = 0
        self.calls = 0
        self.turn = asyncio.Lock()
        self.error: JobsError | None = None
        self.draining = False

    def deliver(self, leases: Sequence[Lease]) -> None:
        self.leases.extend(leases)
        self.came.set()

    def withdraw(self) -> None:
        self.leases.clear()

    def stop(self, stops: Sequence[Stop]) -> None:
        pass  # ExtendLeases asks the store

    def drain(self, cause: DrainCause, deadline: timedelta, reconnect_after: timedelta) -> None:  # noqa: ARG002 # a sink's
        if cause is DrainCause.WORKER:
            self.draining = True
        else:
            self.error = Draining()
        self.came.set()

    def throttle(self, queue: str, cause: HoldCause, until: timedelta | None) -> None:  # a sink's
        pass  # the contract has no word for it here

    def end(self, error: JobsError | None) -> None:
        self.error = error or Draining()
        self.came.set()


class LeaseCalls:
    """Acquires, finds and extends sessions that have no stream."""

    def __init__(self, driver: Driver, leasing: Leasing, room: LeaseRoom, settle: Settle, clock: Clock) -> None:
        self._driver = driver
        self._leasing = leasing
        self._room = room
        self._settle = settle
        self._clock = clock
        self._mailboxes: dict[LeaseSession, _Mailbox] = {}

    async def acquire(self, hello: Hello, wait: timedelta) -> Acquired:
        """Return up to `hello.window` jobs, waiting for the first. `hello.stream_no` is the call's acquire_seq.

        The same number again gets the same leases, at another replica too where the number opened the session there. Leases that
        `hello.held` does not name go back, and so does what a cancelled call has not answered with. The claim loop claims for
        it; while that fails the call goes on waiting. Raises Draining, SessionClosed, SessionSuperseded, StoreUnavailable.
        """
        session, mailbox, lost = await self._session(hello)
        if mailbox.turn.locked():
            mailbox.came.set()  # an earlier call of the session waits for nobody any more
        mailbox.calls += 1
        call = mailbox.calls
        async with mailbox.turn:
            if mailbox.seq > hello.stream_no:
                raise SessionSuperseded
            if mailbox.seq == hello.stream_no:
                answered = [lease for lease in mailbox.answered if self._has(session, lease)]
                return Acquired(answered, lost, session)
            held = {(each.id, each.attempt) for each in hello.held}
            gone = [job_id for job_id, flight in session.flights.items() if (job_id, flight.attempt) not in held]
            self._leasing.take_back(session, gone, NOT_HELD)
            try:
                await self._collect(session, mailbox, hello.window.max_in_flight, wait, call)
            except BaseException:
                self._return_all(session, mailbox)
                raise
            self._answer(session, mailbox, hello, mailbox.leases)
            mailbox.leases = []
            return Acquired(mailbox.answered, lost, session)

    async def find(self, secret: bytes) -> Caller:
        """Return the session of a call and count the call as a heartbeat. Raises SessionClosed, StoreUnavailable."""
        session = self._leasing.find(secret)
        if session is None:
            return await self._find_stored(secret)
        if not session.hello.unary:
            raise SessionClosed
        session.heard_at = self._clock.monotonic()
        session.is_fresh = True
        return Caller(secret, session.handle, session.hello.ttl, session)

    async def settle(self, caller: Caller, items: Sequence[Settlement]) -> Sequence[Settled]:
        """Store outcomes as `Settle.many`, whichever replica the session was at last."""
        if caller.session is None:
            return await self._settle.of_other_replica(items)
        answers = list(await self._settle.many(caller.session, items))
        rest = [place for place, answer in enumerate(answers) if answer.verdict is SettleVerdict.RETRY_LATER]
        if rest:
            try:
                newest = await self._find_stored(caller.secret)
            except (SessionClosed, *NOT_NOW):
                return answers
            if newest.handle != caller.handle:  # it has gone on at another replica, under this handle
                self._drop(caller.session)
                again = await self._settle.of_other_replica([items[place]._replace(handle=newest.handle) for place in rest])
                for place, answer in zip(rest, again, strict=True):
                    answers[place] = answer
        return answers

    async def extend(self, secret: bytes, held: Sequence[HeldLease]) -> Extended:
        """Keep a session alive; returns what was cancelled and lost. Raises SessionClosed, StoreUnavailable."""
        caller = await self.find(secret)
        if caller.session is not None and not await self._is_open(caller.session):
            caller = await self._find_stored(secret)
        requests = await self._driver.sessions.cancel_requests([caller.handle])
        stored = {(job_id, attempt) for _, job_id, attempt in await self._driver.sessions.leases([caller.handle])}
        stops = [
            Stop(request.id, request.attempt, StopCause.CANCELLED, max(request.remaining, timedelta())) for request in requests
        ]
        return Extended(stops, [each for each in held if (each.id, each.attempt) not in stored], caller)

    async def is_draining(self, handle: Handle) -> bool:
        """Tell whether an operator drains the session of a handle. Raises StoreUnavailable."""
        return bool(await self._driver.sessions.draining([handle]))

    async def _find_stored(self, secret: bytes) -> Caller:
        closed: Handle | None = None
        while True:
            found = await self._driver.sessions.find(secret)
            if found is None or not found.unary or found.handle == closed:
                raise SessionClosed
            if not await self._driver.sessions.renew([found.handle]):
                return Caller(secret, found.handle, found.ttl, None)
            closed = found.handle  # it is over, or a call has opened it anew meanwhile, under another handle

    async def _session(self, hello: Hello) -> tuple[LeaseSession, _Mailbox, Sequence[HeldLease]]:
        session = self._leasing.find(hello.secret)
        mailbox = self._mailboxes.get(session) if session is not None else None
        if session is not None and mailbox is not None:
            if hello.stream_no < mailbox.seq:
                raise SessionSuperseded
            if hello.stream_no == mailbox.seq or await self._is_open(session):
                self._update(session, hello)
                return session, mailbox, [each for each in hello.held if not self._holds(session, each)]
        return await self._open(hello)

    async def _open(self, hello: Hello) -> tuple[LeaseSession, _Mailbox, Sequence[HeldLease]]:
        unread = await self._unread(hello)
        held = [*hello.held, *(HeldLease(lease.id, lease.attempt, started=True) for lease in unread)]
        mailbox = _Mailbox()
        opened = await self._leasing.open(replace(hello, window=_SHUT, unary=True, held=held), mailbox)
        session = opened.session
        self._mailboxes = {one: box for one, box in self._mailboxes.items() if not one.gone}
        self._mailboxes[session] = mailbox
        session.on_look = mailbox.came.set
        kept = [lease._replace(handle=session.handle) for lease in unread if self._has(session, lease)]
        if kept:
            self._answer(session, mailbox, hello, kept)
        return session, mailbox, [each for each in hello.held if not self._holds(session, each)]

    async def _unread(self, hello: Hello) -> Sequence[Lease]:
        """Return the leases that another replica has answered this same call with, unless the worker has them."""
        found = await self._driver.sessions.find(hello.secret)
        if found is None or not found.unary or found.stream_no != hello.stream_no:
            return ()
        held = {(each.id, each.attempt) for each in hello.held}
        return [lease for lease in await self._driver.sessions.leased(found.handle) if (lease.id, lease.attempt) not in held]

    def _answer(self, session: LeaseSession, mailbox: _Mailbox, hello: Hello, leases: Sequence[Lease]) -> None:
        """Note what a call is answered with; what is more than it asked for goes back."""
        leases = [lease for lease in leases if self._has(session, lease)]
        most = hello.window.max_in_flight
        mailbox.seq, mailbox.answered = hello.stream_no, leases[:most]
        self._leasing.take_back(session, [lease.id for lease in leases[most:]], NOT_HELD)

    async def _is_open(self, session: LeaseSession) -> bool:
        if await self._driver.sessions.renew([session.handle]):
            self._drop(session)
        return not session.gone

    def _drop(self, session: LeaseSession) -> None:
        """Forget a session that was closed, or has gone on at another replica."""
        self._leasing.forget(session)
        session.sink.end(SessionClosed())

    def _update(self, session: LeaseSession, hello: Hello) -> None:
        """Take over what a call says anew: queues, kinds and how many handlers it has."""
        session.heard_at = self._clock.monotonic()
        session.is_fresh = True
        if (hello.weights, hello.kinds, hello.strict) != (session.hello.weights, session.hello.kinds, session.hello.strict):
            session.hello = replace(session.hello, weights=hello.weights, kinds=hello.kinds, strict=hello.strict)
            session.stride = Stride(hello.weights, strict=hello.strict)
            self._room.lanes_changed()

    async def _collect(self, session: LeaseSession, mailbox: _Mailbox, most: int, wait: timedelta, call: int) -> None:
        began = self._clock.monotonic()
        mailbox.came.clear()
        self._leasing.begin_call(session, most)  # wakes the claim loop
        while not (mailbox.leases or mailbox.error or mailbox.draining or mailbox.calls != call):
            has_looked = session.looks or not (session.free or session.reserved)
            least = 0.0 if has_looked else _FIRST_LOOK
            left = began + max(wait.total_seconds(), least) - self._clock.monotonic()
            if left <= 0:
                break
            await self._clock.wait(mailbox.came, min(left, session.ttl / 4))
            mailbox.came.clear()
            session.heard_at, session.is_fresh = self._clock.monotonic(), True
        self._leasing.set_window(session, _SHUT)
        for _ in range(_SETTLING_STEPS):  # places that were reserved before the window closed may still be filled
            if not session.reserved:
                break
            await self._clock.wait(mailbox.came, _SETTLING_STEP)
            mailbox.came.clear()
        self._leasing.end_call(session)
        if mailbox.error is not None:
            raise mailbox.error

    def _return_all(self, session: LeaseSession, mailbox: _Mailbox) -> None:
        self._leasing.end_call(session)
        unanswered = [lease.id for lease in mailbox.leases if self._has(session, lease)]
        mailbox.leases = []
        self._leasing.take_back(session, unanswered, NOT_HELD)

    @staticmethod
    def _has(session: LeaseSession, lease: Lease) -> bool:
        flight = session.flights.get(lease.id)
        return flight is not None and flight.attempt == lease.attempt

    @staticmethod
    def _holds(session: LeaseSession, held: HeldLease) -> bool:
        flight = session.flights.get(held.id)
        return flight is not None and flight.attempt == held.attempt

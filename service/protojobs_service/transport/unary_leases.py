"""AcquireLeases, SettleLeases and ExtendLeases: the Lease stream for workers that cannot hold one, on the same engine."""

from protojobs.v1 import worker_service_pb2

from protojobs_service.application import Application
from protojobs_service.domain import bounds
from protojobs_service.domain.errors import NOT_NOW, InvalidField
from protojobs_service.domain.job import Handle
from protojobs_service.transport import wire
from protojobs_service.transport.convert import parse_optional_span, to_duration
from protojobs_service.transport.lease_answers import SettledBuilder, cancel_items, lease_refs, refused_updates
from protojobs_service.transport.lease_convert import SettleReader, parse_acquire, parse_held, parse_secret, parse_update
from protojobs_service.transport.permissions import access
from protojobs_service.transport.status import under


class UnaryLeases:
    """Answers the three calls of the twin."""

    def __init__(self, application: Application, reader: SettleReader) -> None:
        self._application = application
        self._calls = application.lease_calls
        self._reader = reader

    async def acquire(self, request: worker_service_pb2.AcquireLeasesRequest) -> bytes:
        """Wait for jobs; returns the bytes of an AcquireLeasesResponse."""
        hello = parse_acquire(request, self._application.limits)
        access().check(*hello.weights)
        wait = parse_optional_span(request, "wait", bounds.DEFAULT_WAIT, bounds.MAX_WAIT)
        acquired = await self._calls.acquire(hello, wait)
        rest = worker_service_pb2.AcquireLeasesResponse(
            lost=lease_refs(acquired.lost),
            session_ttl=to_duration(hello.ttl),
            drain=await self._is_draining(acquired.session.handle),
        )
        # Deliver.items and AcquireLeasesResponse.leases have the same number, so an entry of one is an entry of the other.
        return b"".join(wire.leased_jobs(acquired.leases)) + rest.SerializeToString()

    async def settle(self, request: wire.RawSettleLeases) -> worker_service_pb2.SettleLeasesResponse:
        """Settle leases."""
        caller = await self._calls.find(parse_secret(request.session_id))
        outcomes = self._reader.read(request.settle, caller.handle)
        answers = SettledBuilder()
        answers.add(outcomes, await self._calls.settle(caller, outcomes.items) if outcomes.items else ())
        return worker_service_pb2.SettleLeasesResponse(settled=answers.build())

    async def extend(self, request: worker_service_pb2.ExtendLeasesRequest) -> worker_service_pb2.ExtendLeasesResponse:
        """Keep a session alive; tells what was cancelled and lost, and stores news."""
        extended = await self._calls.extend(parse_secret(request.session_id), parse_held(request.held))
        try:
            news, refused = parse_update(request.update, extended.caller.handle)
        except InvalidField as error:
            raise under(error, "update") from None
        accepted = await self._application.settle.update(news) if news else ()
        return worker_service_pb2.ExtendLeasesResponse(
            cancelled=cancel_items(extended.stops),
            lost=lease_refs(extended.lost),
            session_ttl=to_duration(extended.caller.ttl),
            updates=refused_updates(news, accepted, refused),
            drain=await self._is_draining(extended.caller.handle),
        )

    async def _is_draining(self, handle: Handle) -> bool:
        try:
            return await self._calls.is_draining(handle)
        except NOT_NOW:
            return False  # the leases are the answer; the next call tells

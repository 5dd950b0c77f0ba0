"""WorkerService: leases by stream or by call, and what operators ask of workers.

`procedures` calls the methods. A plain one gets a message and returns one. `@raw`: it gets the bytes as they came (a stream: an
iterator of them) and reads them with the twins of `wire`, so that a job's spec stays the producer's own bytes. `@long_poll`: it may
wait so many seconds, and is ended when the server goes. An answer may be bytes too, written by hand as `wire.leased_jobs` does; a
stream writes to its context and returns None.
"""

# ruff: noqa: N802 # methods have the names of the RPCs

from collections.abc import AsyncIterator

from protojobs.v1 import worker_service_pb2

from protojobs_service.application import Application, SessionRecord
from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField, SessionNotFound
from protojobs_service.transport import wire
from protojobs_service.transport.call import Context
from protojobs_service.transport.convert import check_name, parse_optional_span, parse_page_size, to_timestamp
from protojobs_service.transport.ids import format_id
from protojobs_service.transport.interceptors import Drain
from protojobs_service.transport.lease_convert import SettleReader
from protojobs_service.transport.lease_stream import LeaseStream
from protojobs_service.transport.pages import Pages
from protojobs_service.transport.permissions import Access, access
from protojobs_service.transport.procedures import long_poll, parse, raw
from protojobs_service.transport.specs import Specs
from protojobs_service.transport.unary_leases import UnaryLeases

_MOST_RUNNING = 100
_MAX_SESSION = 1 << 63


class WorkerServicer:
    """Answers WorkerService over the use cases; one method per RPC, named as there."""

    def __init__(self, application: Application, specs: Specs, drain: Drain, *, server_id: str) -> None:
        self._application = application
        self._drain = drain
        self._server_id = server_id
        self._reader = SettleReader(specs, application.settle)
        self._unary = UnaryLeases(application, self._reader)

    @raw
    async def Lease(self, frames: AsyncIterator[bytes], context: Context) -> None:
        """Serve a stream of one worker."""
        await LeaseStream(self._application, self._reader, self._drain, self._server_id).run(frames, context)

    @long_poll(bounds.MAX_WAIT.total_seconds())
    async def AcquireLeases(self, request: worker_service_pb2.AcquireLeasesRequest, _context: Context) -> bytes:
        """Wait for jobs."""
        return await self._unary.acquire(request)

    @raw
    async def SettleLeases(self, data: bytes, _context: Context) -> worker_service_pb2.SettleLeasesResponse:
        """Settle leases."""
        return await self._unary.settle(parse(wire.SettleLeasesRequest, data))

    async def ExtendLeases(
        self, request: worker_service_pb2.ExtendLeasesRequest, _context: Context
    ) -> worker_service_pb2.ExtendLeasesResponse:
        """Keep a session alive."""
        return await self._unary.extend(request)

    async def ListWorkers(
        self, request: worker_service_pb2.ListWorkersRequest, _context: Context
    ) -> worker_service_pb2.ListWorkersResponse:
        """Return live worker sessions."""
        queue = check_name("queue", request.queue) if request.queue else None
        size, pages = parse_page_size(request.page_size), Pages(request)
        records = await self._application.workers.list(queue, pages.number(request.page_token) or 0, size + 1)
        workers = [_to_worker(record, access()) for record in records[:size] if _is_seen(record, access())]
        response = worker_service_pb2.ListWorkersResponse(workers=workers)
        if len(records) > size:
            response.next_page_token = pages.after_number(records[size - 1].session)
        return response

    async def DrainWorker(
        self, request: worker_service_pb2.DrainWorkerRequest, _context: Context
    ) -> worker_service_pb2.DrainWorkerResponse:
        """Ask a worker to finish and leave."""
        number = int(request.session) if request.session.isascii() and request.session.isdecimal() else _MAX_SESSION
        if number >= _MAX_SESSION:
            raise InvalidField("session", "must be a session's public number")
        deadline = parse_optional_span(request, "deadline", bounds.DEFAULT_DRAIN_DEADLINE, bounds.MAX_DRAIN_DEADLINE)
        await self._check_session(number)
        await self._application.workers.drain(number, deadline)
        return worker_service_pb2.DrainWorkerResponse()

    async def _check_session(self, number: int) -> None:
        """Let a worker be drained only by who operates all its queues. Raises SessionNotFound, PermissionDenied."""
        judge = access()
        if judge.everywhere:
            return
        for record in await self._application.workers.list(None, number - 1, 1):
            if record.session == number:
                if not _is_seen(record, judge):
                    raise SessionNotFound
                judge.check(*record.queues)


def _is_seen(record: SessionRecord, judge: Access) -> bool:
    return any(judge.may(queue) for queue in record.queues)


def _to_worker(record: SessionRecord, judge: Access) -> worker_service_pb2.Worker:
    """Return a worker; of its queues and jobs those that the caller may see."""
    worker = worker_service_pb2.Worker(
        session=str(record.session),
        worker=record.worker,
        sdk=record.sdk,
        sdk_version=record.sdk_version,
        queues=[queue for queue in record.queues if judge.may(queue)],
        kinds=record.kinds,
        slots_total=record.slots,
        slots_used=record.in_flight,
        draining=record.draining,
    )
    worker.heartbeat_time.CopyFrom(to_timestamp(record.heartbeat_at))
    worker.start_time.CopyFrom(to_timestamp(record.created_at))
    for job in [job for job in record.running if judge.may(job.queue)][:_MOST_RUNNING]:
        running = worker.running.add(job_id=format_id(job.id), kind=job.kind, queue=job.queue, attempt=job.attempt)
        running.start_time.CopyFrom(to_timestamp(job.started_at))
    return worker

"""The client for asyncio."""

from collections.abc import Sequence
from functools import cached_property
from types import TracebackType
from typing import Self

from protojobs_client.admin import AsyncAdmin
from protojobs_client.bulk import BulkCalls
from protojobs_client.connection import Connection
from protojobs_client.dispatching import DispatchCalls
from protojobs_client.ids import JobIds
from protojobs_client.jobs import JobCalls
from protojobs_client.middleware import ClientHooks, ClientMiddleware
from protojobs_client.operations import OperationCalls
from protojobs_client.options import Options
from protojobs_client.payload import Codec, PlainCodec
from protojobs_client.queues import QueueCalls
from protojobs_client.schedules import ScheduleCalls
from protojobs_client.watching import WatchCalls


class AsyncClient(DispatchCalls, ScheduleCalls, JobCalls, BulkCalls, QueueCalls, WatchCalls, OperationCalls):
    """Dispatches jobs and looks at them.

        async with AsyncClient("127.0.0.1:50051") as client:
            job = await client.dispatch("send_email", {"to": "ann@example.com"}, queue="emails")
            result = await client.wait(job.job_id, timeout=60)

    Make one per event loop and keep it: it holds one channel, which connects at the first call. Every call
    repeats retryable errors until `Options.call_timeout`, and raises a ProtoJobsError.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        options: Options | None = None,
        codec: Codec | None = None,
        middleware: Sequence[ClientMiddleware] = (),
    ) -> None:
        """Without `options` they come from the environment; an `address` goes before theirs."""
        options = options or Options.from_env()
        connection = Connection(options.at(address) if address else options)
        super().__init__(connection, codec or PlainCodec(), JobIds(), ClientHooks(middleware))

    @cached_property
    def admin(self) -> AsyncAdmin:
        """Return what administrators ask for: tokens and the audit log."""
        return AsyncAdmin(self._connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

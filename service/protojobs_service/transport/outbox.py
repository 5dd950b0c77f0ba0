"""Rows of an outbox as JobSpecs, and their dispatch by this server."""

from collections.abc import Sequence

from protojobs.v1 import job_pb2

from protojobs_service.application import Application, OutboxRow, Refused
from protojobs_service.domain.errors import JobsError, QuotaExceeded
from protojobs_service.domain.job import Draft
from protojobs_service.transport.convert import parse_spec
from protojobs_service.transport.results import place_errors
from protojobs_service.transport.specs import Specs


def envelope_of(row: OutboxRow) -> bytes:
    """Return the JobSpec of a row: its columns, appended, go before what `spec` says of the same. Raises MalformedMessage."""
    columns = job_pb2.JobSpec(id=row.id, queue=row.queue, kind=row.kind, payload=row.payload or b"")
    envelope = row.spec + columns.SerializeToString()
    parse_spec(envelope)
    return envelope


class OutboxDispatch:
    """Dispatches rows in this process."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._specs = Specs(application.limits)
        application.known_queues.on_payloads(self._specs.limit_payloads)

    async def deliver(self, rows: Sequence[OutboxRow]) -> Sequence[Refused | None]:
        """Store the jobs of rows; answers by place. Raises StoreUnavailable."""
        items = [self._read(row) for row in rows]
        drafts = [item for item in items if not isinstance(item, JobsError)]
        try:
            stored = await self._application.dispatch.many(drafts) if drafts else ()
        except QuotaExceeded as error:
            stored = [error] * len(drafts)
        return [refusal_of(answer) if isinstance(answer, JobsError) else None for answer in place_errors(items, stored)]

    def _read(self, row: OutboxRow) -> Draft | JobsError:
        try:
            return self._specs.draft(envelope_of(row))
        except JobsError as error:
            return error


def refusal_of(error: JobsError) -> Refused:
    """Return why a row was refused."""
    return Refused(error.reason, error.message)

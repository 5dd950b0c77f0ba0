"""Spans and metrics of what passes between a worker and its server: deliveries, and settles (messaging conventions of 1.44).

On the session's thread, per frame; a job of its own gets a span only where its handler's is recorded. What the application's
provider raises there is logged, and nothing else: jobs go on.
"""

import logging
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Final, assert_never

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanKind, StatusCode, Tracer
from protojobs.v1 import worker_service_pb2 as wire
from protojobs_client import conventions as names
from protojobs_client.options import Options
from protojobs_client.telemetry import Instruments, current_tracer, named_context, operation, server_attributes

from protojobs_worker.context import Attempt
from protojobs_worker.frames import WireLease
from protojobs_worker.outcomes import Cancelled, Completed, Failed, Outcome, Released, Snoozed

# The SDK keeps no more links of a span unless it is set up otherwise.
_MOST_LINKS: Final = 128

logger = logging.getLogger(__name__)


@contextmanager
def _guarded() -> Generator[None]:
    try:
        yield
    except Exception:
        logger.exception("tracing failed")


class Exchange:
    """What one session tells."""

    def __init__(self, tracer: Tracer | None, instruments: Instruments | None, worker: str, connection: Options) -> None:
        self._tracer = tracer
        self._instruments = instruments
        self._server = server_attributes(connection)
        self._worker: dict[str, str | int] = {names.CLIENT_ID: worker}

    @staticmethod
    def if_configured(worker: str, connection: Options) -> "Exchange | None":
        """Return None unless the application has set a provider."""
        tracer, instruments = current_tracer("protojobs_worker", "proto-jobs-worker"), Instruments.current()
        return None if tracer is None and instruments is None else Exchange(tracer, instruments, worker, connection)

    @_guarded()
    def delivered(self, items: Sequence[wire.LeasedJob]) -> None:
        """Tell of a delivery: a span with a link to what created each job."""
        queues = Counter(item.spec.queue for item in items)
        if self._instruments is not None:
            for queue, count in queues.items():
                self._instruments.consumed.add(count, operation("lease", "receive", queue) | self._server)
        if self._tracer is None or not items:
            return
        only = items[0].spec.queue if len(queues) == 1 else None
        attributes = operation("lease", "receive", only) | self._server | self._worker | {names.BATCH_COUNT: len(items)}
        span = self._tracer.start_span(f"lease {only}" if only else "lease", Context(), SpanKind.CLIENT, attributes)
        if span.is_recording():
            for item in items[:_MOST_LINKS]:
                created = named_context(dict(item.spec.headers))
                if created.is_valid:
                    span.add_link(created)
        span.end()

    @_guarded()
    def sent(self, leases: Iterable[WireLease]) -> None:
        """Note that outcomes leave; one that leaves again is still the same settle."""
        now = perf_counter()
        for lease in leases:
            if lease.sent_at is None:
                lease.sent_at = now
                lease.settling = self._start(lease)

    @_guarded()
    def answered(self, leases: Iterable[WireLease | None], error: str | None = None) -> None:
        """End the settles of leases, all answered alike, which count as one operation for each kind of outcome."""
        measured: set[str] = set()
        for lease in leases:
            if lease is None or lease.outcome is None or lease.sent_at is None:
                continue
            span: Span | None = lease.settling
            if span is not None:
                if error is not None:
                    span.set_attribute(names.ERROR_TYPE, error)
                    span.set_status(StatusCode.ERROR)
                span.end()
            name = _name(lease.outcome)
            if self._instruments is not None and name not in measured:
                measured.add(name)
                attributes = operation(name, "settle", lease.job.spec.queue) | self._server
                told = attributes if error is None else attributes | {names.ERROR_TYPE: error}
                self._instruments.operations.record(perf_counter() - lease.sent_at, told)

    def _start(self, lease: WireLease) -> Span | None:
        attempt: Attempt | None = lease.run
        if self._tracer is None or attempt is None or lease.outcome is None:
            return None
        process: Span | None = attempt.span
        # Ended, and so no longer recording: what was recorded is what is sampled. To ask one that never was is dear.
        if process is None or isinstance(process, NonRecordingSpan) or not process.get_span_context().trace_flags.sampled:
            return None
        name, queue = _name(lease.outcome), lease.job.spec.queue
        attributes = operation(name, "settle", queue) | self._server | self._worker
        attributes |= {names.MESSAGE_ID: lease.job_id, names.ATTEMPT: lease.attempt}
        within, created = trace.set_span_in_context(process, Context()), named_context(dict(lease.job.spec.headers))
        links = [Link(created)] if created.is_valid else []
        return self._tracer.start_span(f"{name} {queue}", within, SpanKind.CLIENT, attributes, links)


def _name(outcome: Outcome) -> str:
    match outcome:
        case Completed():
            return "ack"
        case Failed():
            return "nack"
        case Snoozed():
            return "snooze"
        case Released():
            return "release"
        case Cancelled():
            return "cancel"
        case _:
            assert_never(outcome)

"""Logs, metrics and spans: the only file that configures them; `exporters` says where spans and metrics are pushed to.

Logs are JSON lines on standard error (or a console's lines), one event each, with fields: job_id, queue, kind, attempt, request_id,
trace_id. Never payloads, headers, tokens or DSNs: what is logged is written by name, nothing is dumped. The records of the audit
log are JSON lines on standard output.
"""

import asyncio
import contextlib
import logging
import secrets
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import orjson
import structlog
from opentelemetry import trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import Tracer, format_span_id, format_trace_id
from prometheus_client import CollectorRegistry, generate_latest
from structlog.typing import EventDict, Processor, WrappedLogger

from protojobs_service.conventions import DURATION_BUCKETS, RPC_METHOD, RPC_SERVER_DURATION, RPC_STATUS, RPC_SYSTEM, SCHEMA_URL
from protojobs_service.exporters import FLUSH_SECONDS, Exporter, OncePerMinute, metric_readers, tracer_provider, within
from protojobs_service.port import NewAuditRecord
from protojobs_service.settings import OtelSettings

# How long a look at all gauges serves one push, and how long the event loop may take for it, s.
_LOOK_SECONDS = 2.0

Format = Literal["auto", "json", "console"]
Reading = Iterable[tuple[float, Mapping[str, str]]]


class _StandardError(logging.Handler):
    """Writes to what is standard error at the moment, which tests exchange."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 # what cannot be logged must not hurt who logs
            self.handleError(record)


class _Stamp:
    """Puts the number of the process on every event."""

    def __init__(self, process_no: int) -> None:
        self._process_no = process_no

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["process_no"] = self._process_no
        return event


def configure_logs(level: str, form: Format, *, process_no: int | None = None) -> None:
    """Send every logger's events to standard error; from here on the root logger is ours.

    process_no: which of several processes of a server this is; every event carries it then.
    """
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    shared: list[Processor] = [
        *([] if process_no is None else [_Stamp(process_no)]),
        structlog.contextvars.merge_contextvars,
        _add_span,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Frames without their variables: those hold payloads and passwords.
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    final: list[Processor] = (
        [plain]
        if console
        else [structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer(serializer=_dumps)]
    )
    handler = _StandardError()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    # Libraries that log by structlog itself take the same road.
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler.addFilter(OncePerMinute())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Their news at info is not ours.
    for name in ("alembic", "asyncio", "grpc", "sqlalchemy", "uvicorn"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def say_audit(record: NewAuditRecord, *, process_no: int | None = None) -> None:
    """Write a record of the audit log to standard output, as one line of JSON. time: this machine's, as the store may be silent.

    process_no: as of `configure_logs`.
    """
    line = {
        **({} if process_no is None else {"process_no": process_no}),
        "event": "audit",
        "time": datetime.now(UTC),
        "principal": record.principal,
        "via": record.via,
        "rpc": record.rpc,
        "target": record.target,
        "outcome": record.outcome,
        "peer": record.peer,
        "details": dict(record.details),
    }
    # Who reads it may have gone, which must not hurt who acts.
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(orjson.dumps(line).decode() + "\n")
        sys.stdout.flush()


def new_request_id() -> str:
    """Return an id for a call that brought none."""
    return secrets.token_hex(8)


@contextlib.contextmanager
def request_scope(*, request_id: str, trace_id: str) -> Generator[None]:
    """Put the ids of a call on every event that is logged within it."""
    fields = {"request_id": request_id}
    if trace_id:
        fields["trace_id"] = trace_id
    # Every call runs in a task of its own, whose context dies with it: there is nothing to put back.
    structlog.contextvars.bind_contextvars(**fields)
    yield


def service_version() -> str:
    """Return the version of this distribution."""
    try:
        return version("proto-jobs-service")
    except PackageNotFoundError:  # pragma: no cover # run from a source tree that nobody has installed
        return "0"


class Telemetry:
    """The metrics and spans of one server: a meter for those who count, the text that Prometheus reads, and what is pushed.

    otel: which exporters; none without it. tracer: None where nobody wants spans, and then none are made.
    """

    def __init__(self, *, driver: str, otel: OtelSettings | None = None) -> None:
        """Raises InvalidSettings for exporters that are not there."""
        self._registry = CollectorRegistry()
        self._reads: dict[str, Callable[[], Reading]] = {}
        self._seen: dict[str, list[Observation]] = {}
        self._seen_at = float("-inf")
        self._loop_thread: int | None = None
        self._looking: Callable[[], None] | None = None
        resource = Resource.create(_resource())
        self._exporters: list[Exporter] = []
        self._spans = None if otel is None else tracer_provider(otel, resource, self._exporters)
        readers = [PrometheusMetricReader(registry=self._registry, scope_info_enabled=False)]
        pushing = [] if otel is None else metric_readers(otel, self._exporters)
        # Buckets are the advice of who makes the histogram: a view would make a second one beside that of another view.
        self._provider = MeterProvider([*readers, *pushing], resource=resource, shutdown_on_exit=False)
        self.meter: Meter = self._provider.get_meter("protojobs", service_version(), SCHEMA_URL)
        self.tracer: Tracer | None = _tracer(self._spans)
        self.calls = CallMeter(self.meter)
        build = {"version": service_version(), "driver": driver}
        self.observe("protojobs.build_info", "Which build this is.", lambda: [(1, build)])

    def observe(self, name: str, description: str, read: Callable[[], Reading], unit: str = "") -> None:
        """Add a gauge that is read when somebody looks, on the event loop while one is `watched`."""
        self.meter.create_observable_gauge(name, [self._callback(name, read)], unit=unit, description=description)

    def count(self, name: str, description: str, read: Callable[[], Reading], unit: str = "") -> None:
        """Add a counter that somebody else keeps; read as gauges are."""
        self.meter.create_observable_counter(name, [self._callback(name, read)], unit=unit, description=description)

    def _callback(self, name: str, read: Callable[[], Reading]) -> Callable[[CallbackOptions], Iterable[Observation]]:
        self._reads[name] = read

        def callback(_: CallbackOptions) -> Iterable[Observation]:
            if self._loop_thread in (None, threading.get_ident()):
                return _observations(read)
            self._look()
            return self._seen.get(name, ())

        return callback

    @contextlib.contextmanager
    def watched(self, refresh: Callable[[], Awaitable[None]]) -> Generator[None]:
        """Read gauges on this event loop as long as the context lasts, after `refresh`, also for exporters on threads of theirs."""
        loop = asyncio.get_running_loop()

        async def look() -> None:
            await refresh()
            self._see()

        def looking() -> None:
            looked = asyncio.run_coroutine_threadsafe(look(), loop)
            with contextlib.suppress(TimeoutError, RuntimeError):
                looked.result(_LOOK_SECONDS)
            looked.cancel()

        self._looking, self._loop_thread = looking, threading.get_ident()
        try:
            yield
        finally:
            self._looking = None
            self._see()  # for the push at the end

    def render(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self._registry)

    def close(self) -> None:
        """Push what there is, for at most 5 s, and end. Blocks: call it on a thread while an event loop is `watched`."""
        spans = self._spans
        if not within(FLUSH_SECONDS, self._provider.shutdown, *([] if spans is None else [spans.shutdown])):
            for exporter in self._exporters:
                exporter.shutdown()

    def _see(self) -> None:
        self._seen = {name: _observations(read) for name, read in self._reads.items()}

    def _look(self) -> None:
        """Read all gauges at once, on the loop: an exporter asks for one after the other."""
        now = time.monotonic()
        if self._looking is not None and now - self._seen_at > _LOOK_SECONDS:
            self._seen_at = now
            self._looking()


@dataclass(slots=True)
class CallMeter:
    """Counts RPCs by method and status: unary ones with the time they took, streams when they end."""

    meter: Meter
    _attributes: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict[tuple[str, str], dict[str, str]])
    _ended: Any = None
    _duration: Any = None

    def __post_init__(self) -> None:
        self._ended = self.meter.create_counter("protojobs.rpc.streams", description="Streams that have ended.")
        self._duration = self.meter.create_histogram(
            RPC_SERVER_DURATION, unit="s", description="Time of unary RPCs.", explicit_bucket_boundaries_advisory=DURATION_BUCKETS
        )

    def ended(self, path: str, code: str, seconds: float | None) -> None:
        """Count a call; `seconds` of unary ones only."""
        # Both are names of the contract, so there are few pairs.
        attributes = self._attributes.get((path, code))
        if attributes is None:
            attributes = self._attributes[path, code] = {RPC_SYSTEM: "grpc", RPC_METHOD: path[1:], RPC_STATUS: code}
        if seconds is None:
            self._ended.add(1, attributes)
        else:
            self._duration.record(seconds, attributes)


def _resource() -> dict[str, str]:
    # What is given here would win over the environment.
    detected = Resource.create().attributes
    named = str(detected.get("service.name", "unknown_service")).startswith("unknown_service")
    return {"service.version": service_version(), **({"service.name": "protojobs"} if named else {})}


def _tracer(own: trace.TracerProvider | None) -> Tracer | None:
    """Return our tracer, or that of a provider which somebody else, such as `opentelemetry-instrument`, has set."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        if own is None:
            return None
        provider = own
    return provider.get_tracer("protojobs", service_version(), schema_url=SCHEMA_URL)


def _observations(read: Callable[[], Reading]) -> list[Observation]:
    return [Observation(value, attributes) for value, attributes in read()]


def _add_span(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Say within which span it happened."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"], event["span_id"] = format_trace_id(span.trace_id), format_span_id(span.span_id)
    return event


def _dumps(event: EventDict, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()

"""Logs and metrics: the only file that configures them.

Logs are JSON lines on standard error (or a console's lines), one event each, with fields: job_id, queue, kind, attempt, request_id,
trace_id. Never payloads, headers, tokens or DSNs: what is logged is written by name, nothing is dumped. The records of the audit
log are JSON lines on standard output.
"""

import contextlib
import logging
import secrets
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import orjson
import structlog
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, generate_latest
from structlog.typing import EventDict, Processor

from protojobs_service.port import NewAuditRecord

# https://opentelemetry.io/docs/specs/semconv/rpc/rpc-metrics/ (1.44); the status attribute is renamed after it.
RPC_DURATION = "rpc.server.call.duration"
RPC_METHOD = "rpc.method"
RPC_STATUS = "rpc.response.status_code"
# Advisory buckets of the semantic conventions, s.
DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

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


def configure_logs(level: str, form: Format) -> None:
    """Send every logger's events to standard error; from here on the root logger is ours."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
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
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Their news at info is not ours.
    for name in ("alembic", "asyncio", "grpc", "sqlalchemy", "uvicorn"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def say_audit(record: NewAuditRecord) -> None:
    """Write a record of the audit log to standard output, as one line of JSON. time: this machine's, as the store may be silent."""
    line = {
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
    """The metrics of one server: a meter for those who count, and the text that Prometheus reads."""

    def __init__(self, *, driver: str) -> None:
        self._registry = CollectorRegistry()
        reader = PrometheusMetricReader(registry=self._registry, scope_info_enabled=False)
        buckets = ExplicitBucketHistogramAggregation(boundaries=DURATION_BUCKETS)
        resource = Resource.create({"service.name": "protojobs", "service.version": service_version()})
        views = [View(instrument_name="*.duration", aggregation=buckets)]
        self._provider = MeterProvider([reader], resource=resource, views=views, shutdown_on_exit=False)
        self.meter: Meter = self._provider.get_meter("protojobs", service_version())
        self.calls = CallMeter(self.meter)
        build = {"version": service_version(), "driver": driver}
        self.observe("protojobs.build_info", "Which build this is.", lambda: [(1, build)])

    def observe(self, name: str, description: str, read: Callable[[], Reading], unit: str = "") -> None:
        """Add a gauge that is read when somebody looks."""

        def callback(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(value, attributes) for value, attributes in read()]

        self.meter.create_observable_gauge(name, [callback], unit=unit, description=description)

    def count(self, name: str, description: str, read: Callable[[], int]) -> None:
        """Add a counter that is kept elsewhere, and read when somebody looks."""
        self.meter.create_observable_counter(name, [lambda _: [Observation(read())]], description=description)

    def render(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self._registry)

    def close(self) -> None:
        """End the meters."""
        self._provider.shutdown()


@dataclass(slots=True)
class CallMeter:
    """Counts RPCs by method and status: unary ones with the time they took, streams when they end."""

    meter: Meter
    _attributes: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict[tuple[str, str], dict[str, str]])
    _ended: Any = None
    _duration: Any = None

    def __post_init__(self) -> None:
        self._ended = self.meter.create_counter("protojobs.rpc.streams", description="Streams that have ended.")
        self._duration = self.meter.create_histogram(RPC_DURATION, unit="s", description="Time of unary RPCs.")

    def ended(self, path: str, code: str, seconds: float | None) -> None:
        """Count a call; `seconds` of unary ones only."""
        # Both are names of the contract, so there are few pairs.
        attributes = self._attributes.get((path, code))
        if attributes is None:
            attributes = self._attributes[path, code] = {RPC_METHOD: path[1:], RPC_STATUS: code}
        if seconds is None:
            self._ended.add(1, attributes)
        else:
            self._duration.record(seconds, attributes)


def _dumps(event: EventDict, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()

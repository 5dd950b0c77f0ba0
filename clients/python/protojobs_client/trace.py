"""Puts the trace context of the producer into the headers of a job (W3C Trace Context, by OpenTelemetry)."""

from collections.abc import Mapping

from opentelemetry import propagate
from opentelemetry.context import Context

_BAGGAGE = "baggage"


def trace_fields(baggage: tuple[str, ...] = (), context: Context | None = None) -> dict[str, str]:
    """Return what the global propagator says of a context, by default the current one.

    Baggage travels only with the keys named: it may hold what no store should.
    """
    carrier: dict[str, str] = {}
    propagate.inject(carrier, context)
    if _BAGGAGE in carrier:
        entries = [entry for entry in carrier.pop(_BAGGAGE).split(",") if entry.partition("=")[0].strip() in baggage]
        if entries:
            carrier[_BAGGAGE] = ",".join(entries)
    return carrier


def with_trace(headers: Mapping[str, str], fields: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers with these fields, as they are if they have a `traceparent`."""
    return headers if not fields or "traceparent" in headers else {**fields, **headers}

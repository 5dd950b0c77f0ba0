"""Puts the trace context of the producer into the headers of a job (W3C Trace Context, by OpenTelemetry)."""

from collections.abc import Mapping

from opentelemetry import propagate

_BAGGAGE = "baggage"


def with_trace(headers: Mapping[str, str], baggage: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the headers with the global propagator's fields, as they are if they have a `traceparent`.

    Baggage travels only with the keys named: it may hold what no store should.
    """
    if "traceparent" in headers:
        return dict(headers)
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    if _BAGGAGE in carrier:
        entries = [entry for entry in carrier.pop(_BAGGAGE).split(",") if entry.partition("=")[0].strip() in baggage]
        if entries:
            carrier[_BAGGAGE] = ",".join(entries)
    return {**carrier, **headers}

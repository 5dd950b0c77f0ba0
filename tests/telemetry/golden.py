"""Spans and metrics as text that is the same in every run: names for ids, no times, no ports."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.telemetry.receiver import Receiver, attributes

_GOLDEN = Path(__file__).parent / "golden"
_KINDS = {value: name.removeprefix("SPAN_KIND_") for name, value in Span.SpanKind.items()}
_VOLATILE = ("messaging.client.id", "server.port")
# Of the service only what the conventions name: its own metrics are told elsewhere.
_CONVENTIONAL = ("messaging.", "rpc.")


def check(scenario: str, receiver: Receiver, jobs: Sequence[str]) -> None:
    """Compare what was received with the golden file of a scenario. jobs: ids, which are named by their place.

    A file that is not there is written, and fails: look at it, and run again.
    """
    told = json.dumps(_told(receiver, jobs), indent=1) + "\n"
    path = _GOLDEN / f"{scenario}.json"
    if not path.exists():
        path.write_text(told)
        raise AssertionError(f"{path} was not there and is written now")
    assert told == path.read_text()


def scenarios() -> list[str]:
    """Return the names of all scenarios."""
    return sorted(path.stem for path in _GOLDEN.glob("*.json"))


def read(scenario: str) -> dict[str, Any]:
    """Return what a scenario leaves at a receiver."""
    found: dict[str, Any] = json.loads((_GOLDEN / f"{scenario}.json").read_text())
    return found


def _told(receiver: Receiver, jobs: Sequence[str]) -> Mapping[str, Any]:
    names = {span.span_id: span.name for span in receiver.spans}
    spans = [_span(span, receiver, names, jobs) for span in receiver.spans]
    spans.sort(key=lambda span: json.dumps([span["name"], span["attributes"], span["parent"]], sort_keys=True))
    return {"spans": spans, "metrics": _metrics(receiver.metrics)}


def _span(span: Span, receiver: Receiver, names: Mapping[bytes, str], jobs: Sequence[str]) -> dict[str, Any]:
    return {
        "service": receiver.services[span.span_id],
        "name": span.name,
        "kind": _KINDS[span.kind],
        "parent": names.get(span.parent_span_id, "elsewhere") if span.parent_span_id else None,
        "links": sorted(names.get(link.span_id, "elsewhere") for link in span.links),
        "status": Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        "events": [event.name for event in span.events],
        "attributes": _plain(attributes(span), jobs),
    }


def _metrics(metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    series = {
        json.dumps({"name": metric.name, "unit": metric.unit, "attributes": _plain(attributes(point), ())}, sort_keys=True)
        for metric in metrics
        if metric.name.startswith(_CONVENTIONAL)
        for point in (*metric.sum.data_points, *metric.histogram.data_points)
    }
    return [json.loads(each) for each in sorted(series)]


def _plain(found: Mapping[str, Any], jobs: Sequence[str]) -> dict[str, Any]:
    plain = {key: "..." if key in _VOLATILE else value for key, value in found.items()}
    job = plain.get("messaging.message.id")
    if job is not None:
        plain["messaging.message.id"] = f"job {jobs.index(job)}" if job in jobs else "a job"
    return dict(sorted(plain.items()))

"""Which exporters the standard variables choose, and what arrives at a real receiver."""

import asyncio
import logging

import pytest
from protojobs_service.exporters import OncePerMinute
from protojobs_service.settings import InvalidSettings, OtelSettings
from protojobs_service.telemetry import Telemetry

from tests.telemetry.receiver import Receiver, attributes


def test_nothing_is_exported_unless_it_is_asked_for() -> None:
    telemetry = Telemetry(driver="memory", otel=OtelSettings())

    assert (OtelSettings().span_exporters, OtelSettings().metric_exporters) == ([], [])
    assert telemetry.tracer is None
    telemetry.close()


@pytest.mark.parametrize(
    ("variables", "spans", "metrics"),
    [
        ({"EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, ["otlp_proto_grpc"], ["otlp_proto_grpc"]),
        (
            {"EXPORTER_OTLP_ENDPOINT": "http://c", "EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            ["otlp_proto_http"],
            ["otlp_proto_http"],
        ),
        ({"EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317"}, ["otlp_proto_grpc"], []),
        ({"EXPORTER_OTLP_ENDPOINT": "http://c:4317", "METRICS_EXPORTER": "none"}, ["otlp_proto_grpc"], []),
        (
            {"EXPORTER_OTLP_ENDPOINT": "http://c", "EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
            ["otlp_proto_http"],
            ["otlp_proto_grpc"],
        ),
        ({"TRACES_EXPORTER": "console,otlp", "METRICS_EXPORTER": "prometheus"}, ["console", "otlp_proto_grpc"], []),
        ({"EXPORTER_OTLP_ENDPOINT": "http://c:4317", "SDK_DISABLED": "TRUE"}, [], []),
        ({"EXPORTER_OTLP_ENDPOINT": ""}, [], []),
    ],
)
def test_the_standard_variables_choose(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], spans: list[str], metrics: list[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"OTEL_{name}", value)

    otel = OtelSettings()

    assert (otel.span_exporters, otel.metric_exporters) == (spans, metrics)


def test_a_protocol_and_an_exporter_that_there_are_not_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "carrier_pigeon")
    with pytest.raises(InvalidSettings, match="carrier_pigeon is no exporter that is installed"):
        Telemetry(driver="memory", otel=OtelSettings())

    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    with pytest.raises(InvalidSettings, match="http/json"):
        Telemetry(driver="memory", otel=OtelSettings())


def test_spans_and_metrics_arrive_with_the_resource_of_the_environment(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
    telemetry = Telemetry(driver="memory", otel=OtelSettings())
    assert telemetry.tracer is not None

    telemetry.tracer.start_span("a span").end()
    telemetry.calls.ended("/p.S/Unary", "OK", 0.02)
    telemetry.close()

    assert [span.name for span in receiver.spans] == ["a span"]
    assert {"rpc.server.call.duration", "protojobs.build_info"} <= {metric.name for metric in receiver.metrics}
    for resource in map(attributes, receiver.resources):
        assert (resource["service.name"], resource["deployment.environment.name"]) == ("protojobs", "staging")


def test_the_name_of_the_environment_wins(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "jobs-eu")
    telemetry = Telemetry(driver="memory", otel=OtelSettings())
    assert telemetry.tracer is not None

    telemetry.tracer.start_span("a span").end()
    telemetry.close()

    assert {attributes(resource)["service.name"] for resource in receiver.resources} == {"jobs-eu"}


async def _refresh_into(numbers: list[int]) -> None:
    await asyncio.sleep(0)
    numbers[:] = [7]


@pytest.mark.asyncio
async def test_gauges_are_refreshed_and_read_on_the_event_loop_before_they_are_pushed(receiver: Receiver) -> None:
    telemetry = Telemetry(driver="memory", otel=OtelSettings())
    numbers: list[int] = []
    loops: set[object] = set()

    def read() -> list[tuple[float, dict[str, str]]]:
        loops.add(asyncio.get_running_loop())
        return [(number, {}) for number in numbers]

    telemetry.observe("a.gauge", "A gauge.", read)
    with telemetry.watched(lambda: _refresh_into(numbers)):
        await asyncio.to_thread(telemetry.close)

    [gauge] = [metric for metric in receiver.metrics if metric.name == "a.gauge"]
    assert [point.as_int or point.as_double for point in gauge.gauge.data_points] == [7]
    assert loops == {asyncio.get_running_loop()}


@pytest.mark.asyncio
async def test_the_push_at_the_end_has_the_gauges_as_they_were_last(receiver: Receiver) -> None:
    telemetry = Telemetry(driver="memory", otel=OtelSettings())
    with telemetry.watched(lambda: _refresh_into([])):
        pass

    await asyncio.to_thread(telemetry.close)

    assert "protojobs.build_info" in {metric.name for metric in receiver.metrics}


def _warning(name: str, created: float, level: int = logging.WARNING) -> logging.LogRecord:
    record = logging.LogRecord(name, level, __file__, 1, "not exported", None, None)
    record.created = created
    return record


def test_exporters_warn_once_a_minute_and_others_whenever_they_want() -> None:
    heard = OncePerMinute()
    exporter = "opentelemetry.exporter.otlp.proto.grpc.exporter"

    said = [heard.filter(_warning(exporter, at)) for at in (100, 101, 159, 160, 161)]

    assert said == [True, False, False, True, False]
    assert heard.filter(_warning("opentelemetry.sdk._shared_internal", 162, logging.ERROR)) is False
    assert heard.filter(_warning(exporter, 162, logging.INFO)) is True
    assert heard.filter(_warning("protojobs_service.compose", 162)) is True


def test_a_clock_that_was_set_back_silences_no_exporter() -> None:
    heard = OncePerMinute()

    said = [heard.filter(_warning("opentelemetry.sdk._shared_internal", at)) for at in (5000, 100, 101, 160)]

    assert said == [True, True, False, True]

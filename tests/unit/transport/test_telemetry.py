"""Logs and metrics as others read them."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog
from protojobs_service.port import NewAuditRecord
from protojobs_service.telemetry import CallMeter, Telemetry, configure_logs, request_scope, say_audit


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Give the root logger and structlog back as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_line_of_json_with_its_fields_and_those_of_its_call(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")

    with request_scope(request_id="r1", trace_id="t1"):
        logging.getLogger("a.b").info("job failed", extra={"job_id": "j1", "queue": "q", "attempt": 2})

    [line] = _lines(capsys)
    assert line.pop("timestamp")
    assert line == {
        "event": "job failed",
        "level": "info",
        "logger": "a.b",
        "job_id": "j1",
        "queue": "q",
        "attempt": 2,
        "request_id": "r1",
        "trace_id": "t1",
    }


def test_events_of_one_of_many_processes_say_which_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json", process_no=2)

    logging.getLogger("a.b").info("one")
    structlog.get_logger("c").info("another")

    assert [(line["event"], line["process_no"]) for line in _lines(capsys)] == [("one", 2), ("another", 2)]


def test_a_record_of_the_audit_log_is_a_line_of_json_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    record = NewAuditRecord(
        principal="token:1", via="grpc", rpc="a.B/C", target="q\n\u2028", outcome="OK", peer="ipv4:1", details={"n": "1"}
    )

    say_audit(record)

    captured = capsys.readouterr()
    assert captured.err == ""
    [line] = [json.loads(line) for line in captured.out.split("\n")[:-1]]
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "event": "audit",
        "principal": "token:1",
        "via": "grpc",
        "rpc": "a.B/C",
        "target": "q\n\u2028",
        "outcome": "OK",
        "peer": "ipv4:1",
        "details": {"n": "1"},
    }


def test_a_record_of_the_audit_log_says_which_of_many_processes_wrote_it(capsys: pytest.CaptureFixture[str]) -> None:
    say_audit(NewAuditRecord(principal="", via="", rpc="", target="", outcome="OK", peer=""), process_no=2)

    [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert line["process_no"] == 2


def test_nobody_who_acts_is_hurt_by_a_closed_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)

    say_audit(NewAuditRecord(principal="", via="", rpc="", target="", outcome="", peer=""))


def test_a_number_that_is_kept_elsewhere_is_a_counter() -> None:
    telemetry = Telemetry(driver="memory")
    telemetry.count("protojobs.audit.lost", "Lost.", lambda: [(3, {})])

    assert b"protojobs_audit_lost_total 3.0" in telemetry.render()
    telemetry.close()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_variables(capsys: pytest.CaptureFixture[str], form: str) -> None:
    configure_logs("info", form)  # type: ignore[arg-type] # one of its values

    def fail(payload: str) -> None:
        raise ZeroDivisionError(len(payload))

    try:
        fail("canary" + "-secret")
    except ZeroDivisionError:
        logging.getLogger("a").exception("it failed")

    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "canary-secret" not in said


def test_libraries_that_use_structlog_themselves_take_the_same_road(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("warning", "json")

    structlog.get_logger("lib").info("chatter")
    structlog.get_logger("lib").warning("news", n=1)

    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = [json.loads(line) for line in captured.err.splitlines()]
    assert (line["event"], line["n"]) == ("news", 1)


def test_calls_are_counted_by_method_and_status() -> None:
    telemetry = Telemetry(driver="memory")
    meter = CallMeter(telemetry.meter)
    meter.ended("/p.S/Unary", "OK", 0.02)
    meter.ended("/p.S/Unary", "NOT_FOUND", 0.02)
    meter.ended("/p.S/Stream", "OK", None)

    text = telemetry.render().decode()
    telemetry.close()

    for name, method, status in (
        ("rpc_server_call_duration_seconds_count", "p.S/Unary", "OK"),
        ("rpc_server_call_duration_seconds_count", "p.S/Unary", "NOT_FOUND"),
        ("protojobs_rpc_streams_total", "p.S/Stream", "OK"),
    ):
        assert f'{name}{{rpc_method="{method}",rpc_response_status_code="{status}",rpc_system_name="grpc"}} 1.0' in text
    assert 'le="0.025"' in text


def test_two_servers_in_one_process_count_apart() -> None:
    one, other = Telemetry(driver="memory"), Telemetry(driver="sqlite")
    one.calls.ended("/p.S/Unary", "OK", 0.02)

    texts = [each.render().decode() for each in (one, other)]
    for each in (one, other):
        each.close()

    assert ["p.S/Unary" in text for text in texts] == [True, False]

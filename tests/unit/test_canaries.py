"""The watch over secrets sees one that gets out, on every road, and fails the test that let it."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from protojobs_service.domain.errors import Conflict
from protojobs_service.telemetry import Telemetry
from protojobs_service.transport.status import to_status
from sqlalchemy import bindparam, text

from tests.canaries import HEADER, PAYLOAD, PAYLOAD_WORD, TOKEN, WATCH, Watch, complain
from tests.unit.drivers.kit import opened

ROOT = Path(__file__).parents[2]
_log = logging.getLogger("protojobs_service.leaky")


def _seen() -> list[str]:
    return [each.partition(":")[0] for each in WATCH.take()]


def test_a_payload_in_a_log_line_is_seen() -> None:
    _log.warning("job %s", PAYLOAD)

    assert _seen() == ["log of protojobs_service.leaky"]


def test_a_token_in_a_field_of_a_log_line_is_seen() -> None:
    _log.error("call failed", extra={"headers": {"authorization": f"Bearer {TOKEN}"}})

    assert _seen() == ["log of protojobs_service.leaky"]


def test_a_header_in_a_traceback_is_seen() -> None:
    _log.error("unexpected", exc_info=ValueError(HEADER))

    assert _seen() == ["log of protojobs_service.leaky"]


def test_a_payload_as_hexadecimal_digits_is_seen() -> None:
    _log.warning("envelope %s", PAYLOAD.hex())

    assert _seen() == ["log of protojobs_service.leaky"]


def test_a_payload_in_an_error_on_the_wire_is_seen() -> None:
    to_status(Conflict(f"cannot store {PAYLOAD_WORD}"))

    assert _seen() == ["error Conflict on the wire"]


def test_a_payload_in_a_label_of_the_metrics_is_seen() -> None:
    telemetry = Telemetry(driver=PAYLOAD_WORD)
    telemetry.close()

    assert set(_seen()) == {"/metrics"}


def test_a_token_in_an_attribute_of_a_span_is_seen() -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")

    with tracer.start_as_current_span("call") as span:
        span.set_attribute("authorization", TOKEN)

    assert _seen() == ["span call"]


@pytest.mark.asyncio
async def test_a_payload_in_the_text_of_a_statement_is_seen_and_a_bound_one_is_none(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path}/jobs.db") as ground:
        bound = text("select :word").bindparams(bindparam("word", PAYLOAD_WORD))
        await ground.store.run(lambda c: c.execute(bound).scalar())
        of_bound = _seen()
        await ground.store.run(lambda c: c.execute(text(f"select '{PAYLOAD_WORD}'")).scalar())

    assert of_bound == []
    assert set(_seen()) == {"statement"}


def test_a_secret_that_is_planted_later_is_seen() -> None:
    watch = Watch()
    watch.plant("correct horse")

    watch.look("somewhere", "dsn=postgresql://user:correct horse@host")

    assert len(watch.take()) == 1
    assert watch.take() == []


def test_what_was_seen_fails_a_test() -> None:
    with pytest.raises(pytest.fail.Exception, match="got out"):
        complain(["log: secret"])
    complain([])


LEAKY = """
import logging, sys
from pathlib import Path
from tests.canaries import PAYLOAD

def test_logs(): logging.getLogger("protojobs_service").warning("job %s", PAYLOAD)
def test_prints(): print(PAYLOAD, file=sys.stderr)
def test_runs_a_program(tmp_path): (tmp_path / "server.log").write_bytes(PAYLOAD)
def test_keeps_it(): assert PAYLOAD
"""


def test_a_test_that_lets_a_secret_out_fails(tmp_path: Path) -> None:
    (tmp_path / "test_leaky.py").write_text(LEAKY)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.canaries", "-p", "no:randomly", "-p", "no:cacheprovider"]

    done = subprocess.run([*command, "--rootdir", tmp_path, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False)

    last = done.stdout.splitlines()[-1]
    assert "4 passed, 3 errors" in last, done.stdout

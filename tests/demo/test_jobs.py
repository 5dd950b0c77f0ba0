"""The jobs of the demo do what they say, one attempt at a time."""

import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
from PIL import Image
from protojobs_worker.outcomes import Completed, Failed
from protojobs_worker.testing import run_inline

from examples.demo.stage import draw_pictures, fill_database, free_port
from examples.jobs import BuildReport, ChargeCard, DataCleanup, ProcessImage, SendEmail


@pytest.fixture
def mailbox(tmp_path: Path) -> Generator[tuple[list[object], Path]]:
    port = free_port()
    sink = Controller(Mailbox(tmp_path / "mail"), hostname="127.0.0.1", port=port)
    sink.start()
    yield ["127.0.0.1", port], tmp_path / "mail" / "new"
    sink.stop()


def test_send_email_delivers_one_mail_by_smtp(mailbox: tuple[list[object], Path]) -> None:
    smtp, inbox = mailbox

    result = run_inline(SendEmail, {"smtp": smtp, "to": "ann@example.com", "subject": "Hi", "body": "text"})

    [mail] = inbox.iterdir()
    assert result.value["message_id"] in mail.read_text()


def test_send_email_fails_retryably_while_nobody_takes_mail() -> None:
    data = {"smtp": ["127.0.0.1", free_port()], "to": "ann@example.com", "subject": "Hi", "body": "text"}

    result = run_inline(SendEmail, data)

    assert isinstance(result.outcome, Failed)
    assert result.outcome.retryable


def test_process_image_writes_a_thumbnail_per_width_and_tells_how_far_it_is(tmp_path: Path) -> None:
    [picture] = draw_pictures(tmp_path / "pictures", 1)

    result = run_inline(ProcessImage, {"source": str(picture), "target": str(tmp_path), "widths": [200, 100]})

    with Image.open(tmp_path / "picture-1-100.jpg") as thumbnail:
        assert max(thumbnail.size) == 100
    assert result.progress[-1][0] == 1.0


def test_data_cleanup_deletes_only_old_rows(tmp_path: Path) -> None:
    database = fill_database(tmp_path / "visits.db", 1500)

    result = run_inline(DataCleanup, {"database": str(database), "older_than_days": 90})

    with closing(sqlite3.connect(database)) as connection:
        left, oldest = connection.execute("select count(*), min(at) >= datetime('now', '-91 days') from visit").fetchone()
    assert (left, oldest) == (1500 - result.value["deleted"], 1)


def test_charge_card_leaves_a_note_on_its_last_failure_and_completes_once_the_gateway_is_up(tmp_path: Path) -> None:
    gateway = tmp_path / "gateway"
    gateway.write_text("down")

    last = run_inline(ChargeCard, {"gateway": str(gateway), "amount": 1}, failures=1, max_retries=1)
    gateway.write_text("up")
    retried = run_inline(ChargeCard, {"gateway": str(gateway), "amount": 1})

    assert last.final
    assert gateway.with_suffix(".note").exists()
    assert isinstance(retried.outcome, Completed)


def test_build_report_goes_on_at_the_checkpoint_of_an_earlier_attempt(tmp_path: Path) -> None:
    target = tmp_path / "report"

    result = run_inline(BuildReport, {"pages": 5, "seconds_per_page": 0, "target": str(target)}, attempt=2, checkpoint=b"3")

    assert target.read_text().splitlines() == ["page 4 by attempt 2", "page 5 by attempt 2"]
    assert result.value == {"pages": 5, "resumed_at": 3}

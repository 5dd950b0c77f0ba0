"""`make chaos`, for a few seconds."""

import pytest

from tests.chaos.__main__ import main

pytestmark = [pytest.mark.kill, pytest.mark.timeout(120)]


def test_a_load_under_kills_keeps_every_promise(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--driver", "sqlite", "--jobs", "20000", "--every", "1.5", "--servers", "1", "--workers", "1"])

    said = capsys.readouterr().out
    assert code == 0, said
    assert "every invariant holds" in said
    assert "nobody" not in said

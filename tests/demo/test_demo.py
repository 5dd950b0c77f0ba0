"""The demo runs from beginning to end."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.alone
@pytest.mark.timeout(170)
def test_the_demo_ends_well_and_shows_a_summary() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=160
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "What happened" in done.stdout
    assert "crashes = 1" in " ".join(done.stdout.split())

"""Another language reads the envelopes of the Python client, by what the protocol says about them."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parents[1] / "proto" / "testdata" / "envelopes.json"


@pytest.mark.php
def test_php_reads_every_envelope_and_refuses_what_it_must() -> None:
    php = shutil.which("php")
    if php is None:
        pytest.skip("not on this machine: php")
    vectors = json.loads(VECTORS.read_text())

    told = subprocess.run([php, HERE / "envelopes.php", VECTORS], capture_output=True, text=True, timeout=30, check=False)

    assert (told.stdout, told.stderr) == (f"{len(vectors['envelopes']) + len(vectors['refused'])} vectors\n", "")

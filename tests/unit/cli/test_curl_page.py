"""docs/how-to/curl.md is what works."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from protojobs_service.admin.json_api import ENDPOINTS, PREFIX

from tests.unit.cli.conftest import ServerThread

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "curl.md").read_text()

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="the page is about curl")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def _run(server: ServerThread, script: str, where: Path) -> str:
    """Run a script, every line of which must succeed."""
    environment = {"PATH": os.environ["PATH"], "PROTOJOBS": f"http://{server.admin_address}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        cwd=where,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_curl
def test_the_commands_of_the_page_work_one_after_the_other(server: ServerThread, tmp_path: Path) -> None:
    answers = [json.loads(line) for line in _run(server, "\n".join(_blocks("sh")), tmp_path).splitlines()]

    dispatched, job, pending, found, stats, cancelled, retried, leased, extended, settled = answers
    job_id = dispatched["jobId"]
    assert (job["job"]["id"], job["job"]["spec"]["payload"]) == (job_id, "eyJ0byI6ImFubkBleGFtcGxlLmNvbSJ9")
    assert [each["id"] for each in pending["jobs"] + found["jobs"]] == [job_id, job_id]
    assert stats["queues"][0]["counts"] == {"pending": "1"}
    assert (cancelled["state"], retried["state"]) == ("JOB_STATE_CANCELLED", "JOB_STATE_PENDING")
    assert [lease["jobId"] for lease in leased["leases"]] == [job_id]
    assert "lost" not in extended
    assert [group["code"] for group in settled["settled"]["groups"]] == ["SETTLE_CODE_OK"]


@needs_curl
def test_the_error_of_the_page_is_what_the_server_says(server: ServerThread, tmp_path: Path) -> None:
    [script], [shown] = _blocks("sh refused"), _blocks("json")

    body, _, status = _run(server, script, tmp_path).strip().rpartition("\n")

    assert (json.loads(body), status) == (json.loads(shown), "400")


def test_the_page_lists_every_call() -> None:
    listed = re.findall(r"^\| `(\w+) (\S+)` \| `(\w+/\w+)` \|$", PAGE, re.MULTILINE)

    assert listed == [(each.method, PREFIX + each.path, each.rpc.removeprefix("protojobs.v1.")) for each in ENDPOINTS]

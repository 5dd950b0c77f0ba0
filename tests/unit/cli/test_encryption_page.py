"""docs/how-to/encryption.md is what works."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from protojobs_client import Client

from tests.unit.cli.conftest import Cli

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "encryption.md").read_text()


def test_the_program_of_the_page_runs_and_the_server_sees_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_KEY_2026_11", bytes(range(32)).hex())
    program: dict[str, Any] = {}
    exec(compile(PAGE.partition("```python\n")[2].partition("```")[0], "encryption.md", "exec"), program)  # noqa: S102 # our page
    data = {"to": "ann@example.com" * 100}

    with program["client"](cli.address) as client:
        job_id = client.dispatch("send_email", data, queue="mail").job_id
        asyncio.run(program["worker"](cli.address).serve())
        result, read = client.wait(job_id, 10), client.payload(job_id)
    with Client(cli.address) as stranger:
        stored = stranger.get(job_id, full=True)

    assert result == f"sent to {data['to']}"
    assert b"ann@example.com" in read.data
    assert stored.content_type == "application/vnd.protojobs.envelope"
    assert b"ann" not in (stored.payload or b"") + (stored.result or b"")
    assert len(stored.payload or b"") < 200

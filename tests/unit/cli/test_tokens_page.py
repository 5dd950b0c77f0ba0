"""docs/how-to/tokens.md is what works."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from protojobs_client import Client

from tests.unit.cli.conftest import Cli

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "tokens.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_commands_of_the_page_work_one_after_the_other(cli: Cli, tmp_path: Path) -> None:
    script = "".join(["set -e\n", *_blocks("sh")])
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PROTOJOBS_ADDRESS": cli.address,
        "PROTOJOBS_SQLITE__PATH": str(tmp_path / "jobs.db"),
    }

    shell = ["sh", "-c", script]
    ran = subprocess.run(shell, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)

    assert ran.returncode == 0, ran.stderr
    files = sorted(path.name for path in tmp_path.glob("*.token*"))
    assert files == ["admin.token", "mail-worker.token", "mailer.token", "mailer.token.new"]
    assert all(path.read_text().startswith("pj_") for path in tmp_path.glob("*.token*"))
    listed = {each["token_id"]: each for each in cli.json("tokens", "list")}
    ids = {name: (tmp_path / name).read_text().split("_")[1] for name in files}
    assert [listed[ids[name]]["revoked_at"] is None for name in ("mailer.token", "mailer.token.new")] == [False, True]
    assert ids["admin.token"] not in listed  # it is in the store of the settings
    assert "AdminService/RevokeToken" in ran.stdout


def test_the_program_of_the_page_makes_and_rotates_a_token(cli: Cli) -> None:
    program: dict[str, Any] = {}
    exec(compile(_blocks("python")[0], "tokens.md", "exec"), program)  # noqa: S102 # it is our own page

    with Client(cli.address) as client:
        first = program["let_in"](client)
        second = program["rotate"](client)
        tokens = {each.token_id: each for each in client.admin.tokens()}

    assert tokens[first.token.token_id].revoked_at is not None
    assert tokens[second.token.token_id].revoked_at is None


@pytest.mark.parametrize("setting", ["audit.stdout", "audit.retention_days"])
def test_settings_that_the_page_names_exist(setting: str) -> None:
    reference = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "settings.md").read_text()

    assert f"`{setting}`" in PAGE
    assert f"| `{setting}` |" in reference

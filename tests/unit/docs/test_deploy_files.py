"""deploy/ and docs/how-to/systemd.md fit this build: options, exit codes, times to stop, and what systemd understands."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from protojobs_service.cli import app
from protojobs_service.settings import Settings
from protojobs_worker import ExitReason, WorkerOptions
from protojobs_worker.__main__ import main
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "how-to" / "systemd.md").read_text()
SERVER, WORKER = DEPLOY / "systemd" / "protojobs.service", DEPLOY / "systemd" / "protojobs-worker@.service"


def unit(path: Path) -> dict[str, list[str]]:
    """Return the values of each key, which may stand several times."""
    values: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if line and line[0] not in "#[;":
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    return values


def supervisor() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=None, comment_prefixes=(";",))
    parser.read(DEPLOY / "supervisor" / "protojobs.conf")
    return parser


def options_of(command: list[str]) -> set[str]:
    """Return the options that a command explains."""
    if command[0] == "worker":
        program = typer.Typer(add_completion=False)
        program.command()(main)
    else:
        program = app
    text = CliRunner().invoke(program, [*command[1:], "--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}).output
    return set(re.findall(r"--[a-z][a-z-]+", text))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for path, name in ((SERVER, "protojobs.service"), (WORKER, "protojobs-worker@mail.service")):
        # It wants to see the programs, too.
        here = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", path.read_text(), flags=re.MULTILINE)
        (tmp_path / name).write_text(here)

    units = [str(path) for path in sorted(tmp_path.iterdir())]
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=30, check=False
    )

    assert (verified.returncode, verified.stderr) == (0, "")


def test_there_is_time_to_stop() -> None:
    settings, worker = Settings(), WorkerOptions(queues={"q": 1})
    programs = supervisor()

    for seconds in (int(unit(SERVER)["TimeoutStopSec"][0]), programs.getint("program:protojobs", "stopwaitsecs")):
        assert seconds > settings.shutdown.delay + settings.shutdown.grace
    for seconds in (int(unit(WORKER)["TimeoutStopSec"][0]), programs.getint("program:protojobs-worker", "stopwaitsecs")):
        assert seconds > worker.grace + worker.stop_grace


def test_recycled_workers_come_back_and_wrong_settings_do_not() -> None:
    prevented = {int(code) for code in unit(WORKER)["RestartPreventExitStatus"][0].split()}

    assert unit(WORKER)["Restart"] == unit(SERVER)["Restart"] == ["always"]
    assert ExitReason.REFUSED.code in prevented
    assert not prevented & {reason.code for reason in ExitReason if reason is not ExitReason.REFUSED}
    assert supervisor().get("program:protojobs-worker", "autorestart") == "true"


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (unit(SERVER)["ExecStart"][0], ["protojobs", "serve"]),
        (unit(WORKER)["ExecStart"][0], ["worker"]),
        (supervisor().get("program:protojobs", "command"), ["protojobs", "serve"]),
        (supervisor().get("program:protojobs-worker", "command"), ["worker"]),
        ("\n".join(line for line in PAGE.splitlines() if "`--" in line and "upkeep" not in line), ["worker"]),
        ("\n".join(line for line in PAGE.splitlines() if "upkeep --" in line), ["protojobs", "upkeep"]),
    ],
    ids=["server unit", "worker unit", "supervised server", "supervised worker", "page", "page, upkeep"],
)
def test_every_option_exists(text: str, command: list[str]) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))

    assert named
    assert named <= options_of(command)


def test_the_page_names_every_exit_code_of_a_worker() -> None:
    rows = set(re.findall(r"^\| (\d+) \|", PAGE, flags=re.MULTILINE))

    assert {str(reason.code) for reason in ExitReason} <= rows

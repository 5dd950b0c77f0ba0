"""Commands of the pages, and how they are run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.processes import clean_environment
from tests.conftest import NOT_ON_THIS_MACHINE

ROOT: Final = Path(__file__).resolve().parents[2]
BIN: Final = Path(sys.executable).parent


def blocks(page: str, section: str) -> list[str]:
    """Return the commands of a section, block by block."""
    text = (ROOT / "docs" / "operations" / page).read_text()
    body = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = [part.partition("```")[0] for part in body.split("```sh\n")[1:]]
    assert found, f"{page} has no commands in {section!r}"
    return found


def bash(commands: str, home: Path, env: Mapping[str, str], *, path: Path | None = None) -> str:
    """Run commands as one reads them, in `home`; return what they printed. path: where programs are looked for first."""
    places = [str(place) for place in (path, BIN) if place is not None]
    whole = {**clean_environment(), **env, "PATH": os.pathsep.join([*places, os.environ["PATH"]])}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], cwd=home, env=whole, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
    return done.stdout


def need(*programs: str) -> None:
    """Skip the test where a program is not on this machine."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{NOT_ON_THIS_MACHINE}{program}")

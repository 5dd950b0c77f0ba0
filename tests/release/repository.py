"""What the repository knows of its files and of its past."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import NOT_GIVEN_HERE
from tests.release.dockerfile import ROOT


def git(*arguments: str, directory: Path = ROOT) -> bytes:
    """Return what git says; skips the test where there is no repository, or not that part of its history.

    Whoever the checkout belongs to: git runs nothing of it here.
    """
    command = ["git", "-c", "safe.directory=*", *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"{NOT_GIVEN_HERE}the repository: {done.stderr.decode().strip()}")
    return done.stdout


def tracked(*patterns: str, directory: Path = ROOT) -> list[str]:
    """Return the files that are in the repository, relative to `directory`."""
    return git("ls-files", "--", *patterns, directory=directory).decode().splitlines()

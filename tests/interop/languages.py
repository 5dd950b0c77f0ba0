"""The languages that have a client here. To add one: a line in `LANGUAGES`, and what clients/README.md asks of its directory."""

import fcntl
import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from tests.chaos.processes import ROOT, clean_environment

CLIENTS: Final = ROOT / "clients"
NOT_HERE: Final = 69  # EX_UNAVAILABLE: what `build` and `check` end with where something is not on this machine

_BUILD_SECONDS: Final = 540


class NotOnThisMachine(Exception):
    """The toolchain of a language is not here; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One client. `streams`: its worker holds a Lease stream; else it makes the calls of the unary twin."""

    name: str
    streams: bool = True

    @property
    def directory(self) -> Path:
        """Return where the client is."""
        return CLIENTS / self.name

    @property
    def program(self) -> Path:
        """Return the program that `build` makes."""
        return self.directory / ".build" / "interop"

    def build(self) -> Path:
        """Make the program, once for all processes of a test session. Raises NotOnThisMachine, AssertionError if it fails."""
        found = _build(self)
        if isinstance(found, Exception):
            raise found
        return found


LANGUAGES: Final = (
    Language(name="python"),
    Language(name="go"),
    Language(name="java"),
    Language(name="typescript"),
    Language(name="php", streams=False),
)


def present() -> list[Language]:
    """Return the languages whose client is in this checkout."""
    return [language for language in LANGUAGES if (language.directory / "build").exists()]


def environment() -> dict[str, str]:
    """Return the environment of builds and programs: nothing in it configures them behind the test's back."""
    # The distribution of Go puts itself there, and on nobody's PATH.
    return {**clean_environment(), "PATH": f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/local/go/bin"}


@cache
def _build(language: Language) -> Path | Exception:
    """Return the program, or why there is none: a build that failed would fail for every test anew."""
    script = language.directory / "build"
    with script.open("rb") as lock:
        # Processes of one session would write the same files.
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [script], cwd=language.directory, env=environment(), capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
        )
    said = f"{done.stdout}{done.stderr}".strip()
    if done.returncode == NOT_HERE:
        return NotOnThisMachine(said.rpartition("not on this machine: ")[2])
    if done.returncode or not language.program.exists():
        return AssertionError(f"{script.relative_to(ROOT)} ended with {done.returncode}:\n{said[-3000:]}")
    return language.program

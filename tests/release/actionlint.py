"""actionlint: built by Go once, kept in the cache of the user (`XDG_CACHE_HOME`) between runs. PyPI's package fetches a binary."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.private_server import ServerUnavailable

_VERSION: Final = "1.7.12"


def find_actionlint() -> Path:
    """Return the program, built if this is the first time. Raises ServerUnavailable where Go is missing or cannot fetch it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "protojobs-tests"
    program = cache / f"actionlint-{_VERSION}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "actionlint.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not program.exists():
                _build(program)
    return program


def _build(program: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise ServerUnavailable("needs Go, which builds it (golang-go)")
    with tempfile.TemporaryDirectory(dir=program.parent) as directory:
        command = [go, "install", f"github.com/rhysd/actionlint/cmd/actionlint@v{_VERSION}"]
        done = subprocess.run(
            command, cwd=directory, env={**os.environ, "GOBIN": directory}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ServerUnavailable(f"Go could not build it: {done.stderr.strip()[-500:]}")
        (Path(directory) / "actionlint").rename(program)

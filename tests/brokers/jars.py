"""The jars of Apache Kafka: fetched by Maven once, kept in the cache of the user (`XDG_CACHE_HOME`) between runs.

`python -m tests.brokers.jars` fetches them, so that no test has to wait for that.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.private_server import ServerUnavailable

_HERE: Final = Path(__file__).resolve().parent
_POM: Final = _HERE / "pom.xml"
LOGGING: Final = _HERE / "log4j2.properties"


def find_java() -> str:
    """Return the Java that runs brokers. Raises ServerUnavailable."""
    java = shutil.which("java")
    if java is None:
        raise ServerUnavailable("needs a Java runtime, 17 or newer (default-jre-headless)")
    return java


def find_jars() -> Path:
    """Return the directory of the jars, fetched if this is the first time. Raises ServerUnavailable."""
    # Named for its content: a change of the pom is another directory, and never half of two.
    cache = _cache()
    jars = cache / f"kafka-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"
    if not jars.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / "lock"):
            if not jars.is_dir():
                _fetch(jars)
    return jars


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "protojobs-tests"


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Let one process at a time in; the others find what it has fetched."""
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerUnavailable("needs Maven, which fetches it (maven)")
    with tempfile.TemporaryDirectory(dir=jars.parent) as directory:
        fresh = Path(directory) / "jars"
        command = [maven, "--batch-mode", "--quiet", f"--file={_POM}", "dependency:copy-dependencies"]
        done = subprocess.run([*command, f"-DoutputDirectory={fresh}"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerUnavailable(f"Maven could not fetch it: {done.stdout.strip()[-500:]}")
        fresh.rename(jars)


def main() -> int:
    """Fetch the jars and return the exit code."""
    try:
        print(find_jars())
    except ServerUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

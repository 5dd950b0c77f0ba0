"""The jars of Apache Kafka: fetched by Maven once, kept in the cache of the user (`XDG_CACHE_HOME`) between runs.

`python -m tests.brokers.jars` fetches them, so that no test has to wait for that.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.fetched import fetched
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
    return fetched("kafka", _POM.read_bytes(), _fetch)


def _fetch(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerUnavailable("needs Maven, which fetches it (maven)")
    command = [maven, "--batch-mode", "--quiet", f"--file={_POM}", "dependency:copy-dependencies"]
    done = subprocess.run([*command, f"-DoutputDirectory={jars}"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerUnavailable(f"Maven could not fetch it: {done.stdout.strip()[-500:]}")


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

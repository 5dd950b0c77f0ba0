"""What private database servers of a test session share: a user that is not root, a guard that outlives nobody, a free port."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

_STOP_SECONDS = 15.0
_MEMORY = Path("/dev/shm")
_ENOUGH_MEMORY = 2 * 1024**3
_PORT_TRIES = 5

# $1 is the directory, $2 the signal; the rest is the server. The signal is a fast end: the data is thrown away.
_GUARD = """
dir=$1; signal=$2; shift 2
trap '' HUP INT TERM
"$@" >"$dir/server.log" 2>&1 </dev/null &
server=$!
cat >/dev/null
kill -$signal $server 2>/dev/null
wait $server 2>/dev/null
cd / && rm -rf "$dir"
"""


class ServerUnavailable(Exception):
    """This machine cannot run the server; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The user the server runs as: ourselves, or `nobody` when we are root."""

    uid: int | None
    gid: int | None

    @classmethod
    def choose(cls) -> "Account":
        """Return ourselves, or `nobody` for root. Raises ServerUnavailable."""
        if os.geteuid() != 0:
            return cls(uid=None, gid=None)
        try:
            entry = pwd.getpwnam("nobody")
        except KeyError:
            raise ServerUnavailable("root may not run it, and there is no user nobody") from None
        return cls(uid=entry.pw_uid, gid=entry.pw_gid)

    def own(self, path: Path) -> None:
        """Give a file or directory to this user."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def popen(self, command: Sequence[str | Path], *, cwd: Path, stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        """Start a command as this user, in a session of its own so that no Ctrl-C reaches it."""
        return subprocess.Popen(
            command,
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
        )

    def run(self, command: Sequence[str | Path], *, cwd: Path) -> tuple[int, str]:
        """Run a command as this user; return its exit code and its whole output."""
        child = self.popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = child.communicate()
        return child.returncode, output.decode(errors="replace")

    def guard(self, home: Path, signal_name: str, server: Sequence[str | Path]) -> subprocess.Popen[bytes]:
        """Start a server that ends, and whose directory goes, with the standard input of what is returned; log: server.log."""
        return self.popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(home), signal_name, *server],
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def make_home(prefix: str, *, in_memory: bool) -> Path:
    """Make a server's directory; in memory, where there is enough of it, no commit of a test waits for a disk."""
    roomy = in_memory and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ENOUGH_MEMORY
    return Path(tempfile.mkdtemp(prefix=prefix, dir=_MEMORY if roomy else None))


def start(
    account: Account,
    home: Path,
    *,
    name: str,
    signal_name: str,
    command: Callable[[int], Sequence[str | Path]],
    is_ready: Callable[[int], bool],
) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server under its guard; return the guard and the port. Raises ServerUnavailable.

    `is_ready` waits, by port, until the server accepts connections; False where its port is taken.
    """
    for _ in range(_PORT_TRIES):
        port = free_port()
        guard = account.guard(home, signal_name, command(port))
        try:
            if is_ready(port):
                return guard, port
        except BaseException:
            stop(guard)
            raise
        # Somebody took the port between our probe and the server's bind. The guard is killed, not
        # closed, so that it leaves the directory for the next try.
        guard.kill()
        guard.communicate()
    raise ServerUnavailable(f"{name} found no free port in {_PORT_TRIES} tries")


def stop(guard: subprocess.Popen[bytes]) -> None:
    """Close the guard's standard input, which stops the server, and wait."""
    with suppress(BrokenPipeError):
        if guard.stdin is not None:
            guard.stdin.close()
    try:
        guard.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        # The guard leads a session of its own with the server in it.
        os.killpg(guard.pid, signal.SIGKILL)
        guard.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def run_with(module: str, arguments: Sequence[str], dsn: Callable[[], AbstractContextManager[str]]) -> int:
    """Run a command with the DSN of a server of its own in PROTOJOBS_TEST_DSN; return its exit code."""
    command = list(arguments[1:] if arguments[:1] == ["--"] else arguments)
    if not command:
        print(f"usage: python -m {module} -- COMMAND...", file=sys.stderr)
        return 2
    with dsn() as url:
        child = subprocess.Popen(command, env={**os.environ, "PROTOJOBS_TEST_DSN": url})
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        # A Ctrl-C reaches the command too; it decides when to end, and the server outlives it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = child.wait()
    return code if code >= 0 else 128 - code

"""Programs under test as real processes: started on a leash, harmed by signals, and every harm written into the history."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.chaos.waiting import until
from tests.checker import Recorder

ROOT: Final = Path(__file__).resolve().parents[2]

# SIGKILL for the program when the test process dies, however it dies (PR_SET_PDEATHSIG is 1); it stays over exec.
LEASH: Final = "import ctypes,os,sys; ctypes.CDLL(None).prctl(1,9); os.execv(sys.argv[1],sys.argv[1:])"


class Program:
    """One process. `name` is its name in the history."""

    def __init__(self, name: str, command: Sequence[str | Path], *, env: Mapping[str, str], log: Path, nemesis: Recorder) -> None:
        self.name = name
        self.log = log
        self.command = [str(part) for part in command]
        # Compiling some 2600 modules at each start would take seconds: the programs of a test session share their bytecode.
        self._env = {**clean_environment(), "PYTHONPYCACHEPREFIX": str(log.parents[2] / "pycache"), **env}
        self._nemesis = nemesis
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Tell whether it runs, or is frozen."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Return its process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; its output is appended to `log`. Ends the fault of its last kill."""
        assert not self.running
        again = self._process is not None
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-SEc", LEASH, *self.command],
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        if again:
            self._nemesis.write("fault", "end", action="start", target=self.name)

    def kill(self) -> None:
        """Kill it, without a chance to say goodbye."""
        self._harm("kill", signal.SIGKILL)
        assert self._process is not None
        self._process.wait(10)

    async def kill_and_start(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does; its sockets stay open."""
        self._harm("stop", signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen program go on."""
        os.kill(self.pid, signal.SIGCONT)
        self._nemesis.write("fault", "end", action="stop", target=self.name)

    def cut(self) -> None:
        """Make a raw worker lose its stream. That harms nobody: it comes back at once, with what it holds."""
        os.kill(self.pid, signal.SIGUSR1)

    def terminate(self) -> None:
        """Ask it to end."""
        self._harm("terminate", signal.SIGTERM)

    async def ended(self, within: float = 20.0) -> int:
        """Wait until it has ended; return its exit code."""
        assert self._process is not None
        process = self._process
        await until(f"{self.name} ends", lambda: process.poll() is not None, within)
        return process.returncode

    def put_away(self) -> None:
        """Make sure that it is gone, without a record."""
        if self._process is not None:
            if self.running:
                os.kill(self.pid, signal.SIGKILL)
            self._process.wait(10)

    def _harm(self, action: str, what: signal.Signals) -> None:
        # The record comes first: nothing that follows from the signal can be older than it.
        self._nemesis.write("fault", "begin", action=action, target=self.name)
        os.kill(self.pid, what)


def clean_environment() -> dict[str, str]:
    """Return our environment without anything that would configure a program behind the test's back."""
    ours = ("PROTOJOBS_", "PYTEST_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
